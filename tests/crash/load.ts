/** The load: clients that start runs and answer, emit, pause and cancel until they are stopped. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Chance } from "./chance.ts";
import type { Client } from "./client.ts";
import { createKnowledge, type Knowledge } from "./expectations.ts";
import { GRAPHS } from "./graphs.ts";
import { broadcast, SCENARIOS, type World } from "./scenarios.ts";

/**
 * Clients at work at the same time: enough that every kill finds calls, commits and runs under way, and few enough that
 * two cores can also start servers.
 */
const CLIENTS = 16;
const BREAK_MS_MAX = 60;
const BROADCAST_MS_MAX = 60;
const STILL_RUNNING_POLL_MS = 250;
export const OPEN_STATUSES = ["RUN_STATUS_RUNNING", "RUN_STATUS_WAITING"];

export type Load = {
  readonly knowledge: Knowledge;
  /** Settles when the clients have ended. Rejects as soon as a client gets a refusal that it must not get. */
  readonly clients: Promise<void>;
  /** Lets every client finish its current work, and waits until every run has ended. */
  finish(): Promise<void>;
};

export async function startLoad(options: { client: Client; chance: Chance; signal: AbortSignal }): Promise<Load> {
  const { client, chance, signal } = options;
  const knowledge = createKnowledge();
  const radio = { acknowledged: 0, sent: 0 };
  let ids = 0;
  let isOver = false;
  let isOffAir = false;
  const worldOf = (chance: Chance): World => ({
    ...knowledge,
    client,
    chance,
    radio,
    newId: (prefix) => `${prefix}-${++ids}`,
  });

  for (const workflow of GRAPHS) await client.call("RegisterWorkflow", { workflow });

  async function work(world: World): Promise<void> {
    while (!isOver) {
      await world.chance.pick(SCENARIOS)(world);
      await sleep(world.chance.between(0, BREAK_MS_MAX), undefined, { signal });
    }
  }

  async function beOnAir(world: World): Promise<void> {
    while (!isOffAir) {
      await broadcast(world);
      await sleep(world.chance.between(0, BROADCAST_MS_MAX), undefined, { signal });
    }
  }

  const clients = Promise.all(Array.from({ length: CLIENTS }, () => work(worldOf(chance.fork())))).then(
    () => undefined,
  );
  const onAir = beOnAir(worldOf(chance.fork()));
  // Awaited by `finish`; until then a refusal must not end the process.
  for (const promise of [clients, onAir]) promise.catch(() => undefined);

  return {
    knowledge,
    clients: Promise.race([clients, onAir.then(() => clients)]),
    async finish() {
      isOver = true;
      await clients;
      // Runs that listen to the radio are still waiting for it.
      while (await isAnyRunning(client)) await sleep(STILL_RUNNING_POLL_MS, undefined, { signal });
      isOffAir = true;
      await onAir;
    },
  };
}

async function isAnyRunning(client: Client): Promise<boolean> {
  const { runs = [] } = await client.call("ListRuns", { filter: { statuses: OPEN_STATUSES }, pageSize: 1 });
  return runs.length > 0;
}
