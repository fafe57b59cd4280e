/**
 * The connections of a store, divided by purpose. A call has a connection to itself until it ends, and its time is
 * limited: when it is up, the connection is destroyed and replaced, because a connection that went silent never comes
 * back. The other idle connections that have not been heard since are replaced too, before a call finds out by waiting.
 *
 * Time is counted in ticks, not read from a clock. While this process stands still, no ticks pass, so a reply that
 * waited in a socket meanwhile is read before its call counts as too late.
 *
 * A database may grant fewer connections than this server was configured for. A pool then works with those that it has.
 * The reads have fewest claims: they give their connections up if another pool has none.
 */
import type { Connection, Place, Sql } from "./client.ts";
import { CallTimeoutError, isConnectionLost, isOutOfConnections, NoRoomError, NotConnectedError } from "./errors.ts";

const TICK_MS = 1_000;
/** How long a connection may take to open. */
const OPEN_TICKS_MAX = 5;
/** After how long a pool with fewer connections than it should have asks for another one. */
const SHORT_TICKS = 30;
/** A connection is closed after this time when it is idle, and opened again, so that its session does not grow. */
const LIFE_TICKS_MIN = 30 * 60;
const LIFE_TICKS_MAX = 60 * 60;

export type Pool = {
  /**
   * Gives `work` a connection of its own. Limits the time of both, the wait for a connection included.
   * @throws {CallTimeoutError} after destroying the connection; NoRoomError; NotConnectedError
   */
  use<T>(work: (sql: Sql) => Promise<T> | T): Promise<T>;
  /** The same after replacing idle connections: for a question after a connection was lost, as others may be too. */
  useFresh<T>(work: (sql: Sql) => Promise<T> | T): Promise<T>;
  /** The connections that it should have, and how many of them it may use now. */
  readonly size: number;
  readonly granted: number;
};

export type Pools = {
  add(options: {
    name: string;
    place: Place;
    size: number;
    /** How long a call may take. */
    ticksMax: number;
    /** Whether it gives up connections for the other pools. */
    yields?: boolean;
  }): Pool;
  /** A connection cannot be opened that is needed more than those of pools that yield: they give one up. */
  makeRoom(): void;
  /** Calls back at every tick. */
  onTick(callback: () => void): () => void;
  close(): Promise<void>;
};

type Member = {
  connection: Connection;
  state: "opening" | "idle" | "busy";
  /** The tick at which it was last known to work. */
  heardAt: number;
  endsAt: number;
};

type Call = {
  number: number;
  beganAt: number;
  member: Member | undefined;
  begin: (member: Member) => void;
  fail: (error: unknown) => void;
};

/** Calls back at every tick, until the returned function is called. */
export type Ticks = (onTick: () => void) => () => void;

const everySecond: Ticks = (onTick) => {
  const timer = setInterval(onTick, TICK_MS).unref();
  return () => clearInterval(timer);
};

/** @param ticks tests replace it */
export function createPools(ticks: Ticks = everySecond): Pools {
  let tick = 0;
  let isClosed = false;
  const pools = new Set<ReturnType<typeof createPool>>();
  const callbacks = new Set<() => void>();
  const stopTicks = ticks(() => {
    tick += 1;
    for (const pool of pools) pool.onTick();
    for (const callback of callbacks) callback();
  });

  /** A call got no reply: idle connections that are no better known than its own may be as dead. */
  function suspect(sinceTick: number): void {
    for (const pool of pools) pool.dropUnheard(sinceTick);
  }

  function makeRoom(): void {
    for (const pool of pools) pool.giveUpOne();
  }

  function createPool({ name, place, size, ticksMax, yields = false }: Parameters<Pools["add"]>[0]) {
    const members = new Set<Member>();
    const waiting: Call[] = [];
    const underWay = new Set<Call>();
    const openTicksMax = place.connectTimeoutS ?? OPEN_TICKS_MAX;
    let granted = size;
    let calls = 0;
    let shortUntil = 0;

    function drop(member: Member): void {
      members.delete(member);
      member.connection.destroy();
    }

    /** Serves waiting calls with idle connections, and opens as many as are missing. */
    function serve(): void {
      while (waiting.length > 0) {
        const member = members.values().find(({ state }) => state === "idle");
        if (member === undefined) break;
        const call = waiting.shift()!;
        member.state = "busy";
        call.member = member;
        underWay.add(call);
        call.begin(member);
      }
      if (waiting.length === 0) return;
      const opening = members.values().reduce((sum, { state }) => sum + (state === "opening" ? 1 : 0), 0);
      for (let missing = waiting.length - opening; missing > 0 && members.size < granted; missing--) {
        const lastCall = calls;
        void openMember().then(serve, (error: unknown) => failWaiting(error, lastCall));
      }
    }

    async function openMember(): Promise<void> {
      const connection: Connection = place.open(() => {
        if (member.state === "idle") members.delete(member);
      });
      const lifeTicks = LIFE_TICKS_MIN + Math.random() * (LIFE_TICKS_MAX - LIFE_TICKS_MIN);
      const member: Member = { connection, state: "opening", heardAt: tick, endsAt: tick + lifeTicks };
      members.add(member);
      try {
        await connection.sql`select 1`;
        if (!members.has(member)) throw new Error("the connection took too long to open");
        member.heardAt = tick;
        member.state = "idle";
      } catch (error) {
        const isLate = !members.has(member);
        drop(member);
        if (isClosed) throw closedError();
        throw new NotConnectedError(isLate ? openTimeout(place.name, openTicksMax) : error);
      }
    }

    /**
     * A connection could not be opened. Fails a call that waited for it, or all of them if there is no other connection
     * to wait for. Later calls have attempts of their own.
     */
    function failWaiting(error: unknown, lastCall: number): void {
      if (isOutOfConnections(error)) {
        shortUntil = tick + SHORT_TICKS;
        if (!yields) makeRoom();
        // Those that there are serve everyone in turn.
        if (members.size > 0) {
          granted = Math.max(1, members.size);
          serve();
          return;
        }
      }
      do {
        if (waiting.length === 0 || waiting[0]!.number > lastCall) break;
        waiting.shift()!.fail(error);
      } while (members.size === 0);
      serve();
    }

    /** Why a call has no connection although it waited for so long. */
    function whyNone(waitedS: number): Error {
      const isAnyOpen = members.values().some(({ state }) => state !== "opening");
      if (isAnyOpen) return new NoRoomError(`all ${members.size} connections for ${name} are in use`);
      return new NotConnectedError(openTimeout(place.name, waitedS));
    }

    function release(member: Member, isBroken: boolean): void {
      if (!members.has(member)) return;
      if (isBroken || member.connection.isClosed) {
        drop(member);
      } else if (members.size > granted || tick >= member.endsAt || isClosed) {
        members.delete(member);
        member.connection.end().catch(() => undefined);
      } else {
        member.heardAt = tick;
        member.state = "idle";
      }
      serve();
    }

    function use<T>(work: (sql: Sql) => Promise<T> | T): Promise<T> {
      if (isClosed) return Promise.reject(closedError());
      return new Promise<T>((resolve, reject) => {
        const call: Call = {
          number: ++calls,
          beganAt: tick,
          member: undefined,
          begin(member) {
            run(member).then(resolve, reject);
          },
          fail: reject,
        };
        const run = async (member: Member): Promise<T> => {
          let isBroken = false;
          try {
            return await work(member.connection.sql);
          } catch (error) {
            isBroken = isConnectionLost(error);
            throw error;
          } finally {
            underWay.delete(call);
            release(member, isBroken);
          }
        };
        waiting.push(call);
        serve();
      });
    }

    const pool: Pool = {
      use,
      useFresh(work) {
        for (const member of members) if (member.state === "idle") drop(member);
        return use(work);
      },
      get size() {
        return size;
      },
      get granted() {
        return granted;
      },
    };

    return {
      pool,

      onTick() {
        while (waiting.length > 0 && tick - waiting[0]!.beganAt > ticksMax) {
          waiting.shift()!.fail(whyNone(ticksMax));
        }
        for (const call of underWay) {
          if (tick - call.beganAt <= ticksMax) continue;
          underWay.delete(call);
          call.fail(new CallTimeoutError(`no reply from the database at ${place.name} in ${ticksMax} s`));
          if (call.member !== undefined) drop(call.member);
          suspect(call.beganAt);
        }
        for (const member of members) {
          if (member.state === "opening" && tick - member.heardAt > openTicksMax) drop(member);
        }
        if (granted < size && tick >= shortUntil) {
          granted += 1;
          shortUntil = tick + SHORT_TICKS;
        }
        serve();
      },

      dropUnheard(sinceTick: number) {
        for (const member of members) if (member.state === "idle" && member.heardAt <= sinceTick) drop(member);
      },

      giveUpOne() {
        if (!yields || members.size <= 1) return;
        granted = Math.max(1, members.size - 1);
        shortUntil = tick + SHORT_TICKS;
        const idle = [...members].find(({ state }) => state === "idle");
        if (idle !== undefined) drop(idle);
      },

      async close() {
        for (const call of waiting.splice(0)) call.fail(closedError());
        await Promise.all(
          [...members].map(async (member) => {
            await member.connection.end();
            members.delete(member);
          }),
        );
      },
    };
  }

  return {
    add(options) {
      const created = createPool(options);
      pools.add(created);
      return created.pool;
    },
    makeRoom,
    onTick(callback) {
      callbacks.add(callback);
      return () => callbacks.delete(callback);
    },
    async close() {
      isClosed = true;
      await Promise.all([...pools].map((pool) => pool.close()));
      stopTicks();
    },
  };
}

function openTimeout(name: string, timeoutS: number): Error {
  const message = `no connection to the database at ${name} in ${timeoutS} s`;
  return Object.assign(new Error(message), { code: "CONNECT_TIMEOUT" });
}

function closedError(): Error {
  return new NotConnectedError(Object.assign(new Error("the store is closed"), { code: "CONNECTION_ENDED" }));
}
