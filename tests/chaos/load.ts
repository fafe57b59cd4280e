/** Runs at most so many at a time until all have been started and have ended, and follows each record by record. */
import type { Client } from "@abstractruntime/sdk";
import type { Chance } from "../crash/chance.ts";
import type { ToolLog } from "./tool-log.ts";
import { WORKFLOWS } from "./work.ts";

const ENDS = new Set(["run.completed", "run.failed", "run.cancelled"]);

export type StartedRun = {
  runId: string;
  /** Calls of its first node. */
  firstCalls: number;
  startedAt: number;
  /** Missing if it has not ended. Both times are on the clock of `performance`. */
  endedAt?: number;
};

export type Load = {
  readonly runs: readonly StartedRun[];
  /** Resolves when every run has ended; rejects with the signal's reason. */
  readonly done: Promise<void>;
};

/** @param log notes which calls were seen completed */
export function startLoad(options: {
  client: Client;
  chance: Chance;
  total: number;
  atATime: number;
  log: ToolLog;
  signal: AbortSignal;
}): Load {
  const { client, chance, total, atATime, log, signal } = options;
  const runs: StartedRun[] = [];

  async function runNext(): Promise<void> {
    while (runs.length < total) {
      const { firstCalls, definition } = chance.pick(WORKFLOWS);
      const run: StartedRun = { runId: `chaos-${runs.length + 1}`, firstCalls, startedAt: performance.now() };
      runs.push(run);
      await client.start(definition, {}, { runId: run.runId, signal });
      await follow(run);
    }
  }

  async function follow(run: StartedRun): Promise<void> {
    for await (const { kind, idempotencyKey } of client.ledger.watch(run.runId, { signal })) {
      if (kind === "call.completed") log.write({ event: "seen", key: idempotencyKey!, time: Date.now() });
      if (ENDS.has(kind)) run.endedAt = performance.now();
    }
    if (run.endedAt === undefined) throw new Error(`the feed of run ${run.runId} ended before the run`);
  }

  const done = Promise.all(Array.from({ length: atATime }, runNext)).then(() => undefined);
  done.catch(() => undefined);
  return { runs, done };
}
