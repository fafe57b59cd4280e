/** What happens to workers, connections and servers while runs go on: drawn from a seed, though how it falls is the machine's. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Chance } from "../crash/chance.ts";
import type { Direction, ProxiedConnection, TcpProxy } from "../support/tcp-proxy.ts";
import type { WorkerProcess } from "./worker-process.ts";

/** Milliseconds from one kill of a worker to the next: about 2 s. */
const KILL_MS = [1_500, 2_500] as const;
/** How long a killed worker stays away, where it does not come back at once. */
const AWAY_MS = [0, 1_000] as const;
/** Milliseconds from one broken connection to the next, from one proxy that delays to the next, from one that refuses to the next. */
const BREAK_MS = [150, 900] as const;
const DELAY_EVERY_MS = [300, 1_500] as const;
const REFUSE_EVERY_MS = [1_500, 4_500] as const;
/** What every byte is late by, and for how long. Far less than the time in which a job must be accepted: work that is delivered at least
 *  once is begun with its offer, so one that is later than that can begin when another worker has done it and that is recorded. */
const DELAY_MS = [20, 400] as const;
const DELAYED_MS = [300, 2_000] as const;
const REFUSED_MS = [200, 1_500] as const;
/** Soon, so that a short test has one. */
const FIRST_SERVER_KILL_MS = [500, 2_000] as const;
const SERVER_AWAY_MS = [0, 3_000] as const;

/** Of breaks, those that hit every connection at once. */
const ALL_SHARE = 0.1;
const BLACK_HOLES: readonly (Direction | undefined)[] = [undefined, "up", "down"];

export type Bounds = readonly [least: number, most: number];
export type KillableServer = { kill(): Promise<void>; start(): Promise<void> };

export type Chaos = {
  /** How often each thing was done to somebody. */
  readonly counts: Readonly<Record<string, number>>;
  /** Rejects if something cannot be started again. */
  readonly failed: Promise<never>;
  /** Ends it: everything runs again, and connections that come from now on are whole. */
  end(): Promise<void>;
};

export function startChaos(options: {
  chance: Chance;
  workers: readonly WorkerProcess[];
  proxies: readonly TcpProxy[];
  /** Killed now and then; empty: never. */
  servers: readonly KillableServer[];
  /** Milliseconds from one black hole to the next: about as long as both sides take to notice one. */
  blackHoleMs: Bounds;
  /** From one kill of a server to the next: so long that the others, which look after what it left, mostly live to do so. */
  serverKillMs: Bounds;
}): Chaos {
  const { chance, workers, proxies, servers, blackHoleMs, serverKillMs } = options;
  const over = new AbortController();
  const counts: Record<string, number> = {};
  const count = (name: string, times = 1): void => {
    counts[name] = (counts[name] ?? 0) + times;
  };

  /** Does something again and again, after pauses. What it draws changes nothing for the others. */
  async function repeat(
    every: Bounds,
    act: (chance: Chance, pause: (bounds: Bounds) => Promise<void>) => Promise<void>,
    first = every,
  ): Promise<void> {
    const own = chance.fork();
    // The pauses of a cure end early, so that it is never left out.
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
