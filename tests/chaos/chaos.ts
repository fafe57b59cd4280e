/**
 * What happens to workers, connections and servers while runs go on. A seed decides it, but not how the machine
 * interleaves it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Chance } from "../crash/chance.ts";
import type { Direction, ProxiedConnection, TcpProxy } from "../support/tcp-proxy.ts";
import type { WorkerProcess } from "./worker-process.ts";

/** Milliseconds between two kills of a worker: about 2 s. */
const KILL_MS = [1_500, 2_500] as const;
/** How long a killed worker stays away, if it does not come back at once. */
const AWAY_MS = [0, 1_000] as const;
/** Milliseconds between two broken connections, two delays and two refusals. */
const BREAK_MS = [150, 900] as const;
const DELAY_EVERY_MS = [300, 1_500] as const;
const REFUSE_EVERY_MS = [1_500, 4_500] as const;
/**
 * How much every byte is delayed, and for how long. It is far less than the time in which a job must be accepted: work
 * that is delivered at least once begins with its offer, so with a longer delay it could begin after another worker's
 * result was recorded.
 */
const DELAY_MS = [20, 400] as const;
const DELAYED_MS = [300, 2_000] as const;
const REFUSED_MS = [200, 1_500] as const;
/** Soon, so that a short test has one. */
const FIRST_SERVER_KILL_MS = [500, 2_000] as const;
const SERVER_AWAY_MS = [0, 3_000] as const;

/** The share of breaks that hit every connection at once. */
const ALL_SHARE = 0.1;
const BLACK_HOLES: readonly (Direction | undefined)[] = [undefined, "up", "down"];

export type Bounds = readonly [least: number, most: number];
export type KillableServer = { kill(): Promise<void>; start(): Promise<void> };

export type Chaos = {
  /** How often each thing was done. */
  readonly counts: Readonly<Record<string, number>>;
  /** Rejects if something cannot be started again. */
  readonly failed: Promise<never>;
  /** Ends the chaos: everything runs again, and new connections are left alone. */
  end(): Promise<void>;
};

export function startChaos(options: {
  chance: Chance;
  workers: readonly WorkerProcess[];
  proxies: readonly TcpProxy[];
  /** Killed now and then; none if it is empty. */
  servers: readonly KillableServer[];
  /** Milliseconds between two black holes: about as long as both sides take to notice one. */
  blackHoleMs: Bounds;
  /**
   * Milliseconds between two kills of a server: long enough that the other servers mostly live to take over what it
   * left.
   */
  serverKillMs: Bounds;
}): Chaos {
  const { chance, workers, proxies, servers, blackHoleMs, serverKillMs } = options;
  const over = new AbortController();
  const counts: Record<string, number> = {};
  const count = (name: string, times = 1): void => {
    counts[name] = (counts[name] ?? 0) + times;
  };

  /** Repeats something, with pauses. What it draws does not change the others' random numbers. */
  async function repeat(
    every: Bounds,
    act: (chance: Chance, pause: (bounds: Bounds) => Promise<void>) => Promise<void>,
    first = every,
  ): Promise<void> {
    const own = chance.fork();
    // The pauses before a cure end early, so that the cure is never omitted.
    const pause = ([from, to]: Bounds): Promise<void> =>
      sleep(own.between(from, to), undefined, { signal: over.signal }).catch(() => undefined);
    for (let bounds = first; ; bounds = every) {
      await pause(bounds);
      if (over.signal.aborted) return;
      await act(own, pause);
    }
  }

  const wholeConnections = (): ProxiedConnection[] =>
    proxies.flatMap(({ connections }) => connections.filter(({ isWhole }) => isWhole));

  const loops = [
    repeat(KILL_MS, async (chance, pause) => {
      const worker = chance.pick(workers);
      if (await worker.kill()) count("worker kills");
      if (chance.happens(0.5)) await pause(AWAY_MS);
      worker.start();
    }),

    repeat(BREAK_MS, async (chance) => {
      const whole = wholeConnections();
      const how = chance.pick(["reset", "cut"] as const);
      const broken = chance.happens(ALL_SHARE) || whole.length === 0 ? whole : [chance.pick(whole)];
      for (const connection of broken) connection[how]();
      count(how, broken.length);
    }),

    repeat(DELAY_EVERY_MS, async (chance, pause) => {
      const delayed = chance.pick(proxies).connections.filter(({ isWhole }) => isWhole);
      const delayMs = chance.between(...DELAY_MS);
      for (const connection of delayed) connection.delay(delayMs);
      count("delay", delayed.length);
      await pause(DELAYED_MS);
      for (const connection of delayed) connection.delay(0);
    }),

    repeat(REFUSE_EVERY_MS, async (chance, pause) => {
      const proxy = chance.pick(proxies);
      proxy.cut();
      count("refuse");
      await pause(REFUSED_MS);
      await proxy.accept();
    }),

    repeat(blackHoleMs, async (chance) => {
      const whole = wholeConnections();
      if (whole.length === 0) return;
      const direction = chance.pick(BLACK_HOLES);
      chance.pick(whole).blackHole(direction);
      count(`black hole ${direction ?? "both ways"}`);
    }),

    ...(servers.length === 0
      ? []
      : [
          repeat(
            serverKillMs,
            async (chance, pause) => {
              const server = chance.pick(servers);
              await server.kill();
              count("server kills");
              await pause(SERVER_AWAY_MS);
              await server.start();
            },
            FIRST_SERVER_KILL_MS,
          ),
        ]),
  ];
  const ended = Promise.all(loops);
  const failed = Promise.withResolvers<never>();
  ended.catch(failed.reject);
  failed.promise.catch(() => undefined);

  return {
    counts,
    failed: failed.promise,
    async end() {
      over.abort();
      await ended;
    },
  };
}
