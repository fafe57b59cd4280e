/**
 * SIGKILL at random moments: of servers, of the database, of both, or of one of two servers while the other goes on.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Chance } from "./chance.ts";
import type { Client } from "./client.ts";
import type { Cluster, ServerName } from "./cluster.ts";

/** Milliseconds of load before a kill. */
const LOAD_MS = [50, 900] as const;
/** Milliseconds after a kill at which the next one hits what is just starting again. */
const RECOVERY_MS = [0, 400] as const;
/** How often a kill does not wait for the recovery from the last one. */
const HASTE = 0.15;

export type Kill = {
  /** How many servers run when it comes. */
  servers: 1 | 2;
  targets: readonly (ServerName | "database")[];
  /** Counted from the last recovery, or from the last kill if it does not wait. */
  afterMs: number;
  isHasty: boolean;
};

/** Draws all kills at once. During the middle third two servers use the database. */
export function planKills(chance: Chance, count: number): Kill[] {
  return Array.from({ length: count }, (_, index): Kill => {
    const servers = index >= Math.floor(count / 3) && index < Math.floor((2 * count) / 3) ? 2 : 1;
    const isHasty = index > 0 && chance.happens(HASTE);
    const [least, most] = isHasty ? RECOVERY_MS : LOAD_MS;
    const afterMs = chance.between(least, most);
    return { servers, targets: pickTargets(chance, servers), afterMs, isHasty };
  });
}

function pickTargets(chance: Chance, servers: 1 | 2): Kill["targets"] {
  if (servers === 1) return chance.pick([["first"], ["first"], ["database"], ["first", "database"]] as const);
  const one = chance.pick(["first", "second"] as const);
  return chance.pick([[one], [one], [one], ["database"], [one, "database"], ["first", "second", "database"]] as const);
}

/** Carries out the plan while the load goes on. Rejects if a server does not come back. */
export async function carryOut(options: {
  plan: readonly Kill[];
  cluster: Cluster;
  client: Client;
  signal: AbortSignal;
}): Promise<void> {
  const { plan, cluster, client, signal } = options;
  const starting = new Map<ServerName, Promise<void>>();
  const start = (name: ServerName): void => {
    const started = cluster.start(name);
    started.catch(() => undefined);
    starting.set(name, started);
  };
  const started = (): Promise<unknown> => Promise.all(starting.values());

  let isSecondThere = false;
  for (const kill of plan) {
    if (kill.servers === 2 && !isSecondThere) start("second");
    if (kill.servers === 1 && isSecondThere) {
      await started();
      await cluster.stop("second");
    }
    isSecondThere = kill.servers === 2;
    if (!kill.isHasty) await Promise.all([client.recovered(), started()]);
    await sleep(kill.afterMs, undefined, { signal });
    const servers = kill.targets.filter((target) => target !== "database");
    if (kill.targets.includes("database")) await untilKilled(cluster, signal);
    await Promise.all(servers.map((name) => cluster.killServer(name)));
    client.noteKill();
    for (const name of servers) start(name);
  }
  await Promise.all([client.recovered(), started()]);
}

/** If a kill that does not wait finds the database down, it waits until the database is back. */
async function untilKilled(cluster: Cluster, signal: AbortSignal): Promise<void> {
  while (!cluster.killDatabase()) await sleep(5, undefined, { signal });
}
