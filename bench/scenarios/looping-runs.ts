/** Runs that loop over one handler, and wait at a gate in the worker between measurements. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Slice } from "../compared.ts";
import { connect, register } from "../connection.ts";
import type { GateReply } from "../gate.ts";
import type { ProgramProcess } from "../program-process.ts";
import type { Site } from "../site.ts";
import { createWorkflows, GRAPH_STEPS_PER_TURN, type LoopVars } from "../workflows.ts";

/** Time for the commits and messages after the last result of a slice. */
const SETTLE_MS = 100;

/** What a turn of the handler does, and how many steps it is. */
const STEPS_PER_TURN = {
  /** The handler writes a number into vars. */
  looping: 1,
  /** It writes nothing. */
  loopingIdly: 1,
  /** It writes a number, and so do the steps of the graph that follow it. */
  loopingByGraph: GRAPH_STEPS_PER_TURN,
} as const;

export type LoopingWorkflow = keyof typeof STEPS_PER_TURN;

export type LoopingRuns = {
  /** Starts runs, which wait in their first handler. */
  start(group: { group: string; runs: number; documents?: object[] }): Promise<void>;
  /** Lets each run of the group take some turns. */
  advance(group: { group: string; runs: number; turns: number }): Promise<GateReply>;
  /** The same, measured. */
  measure(group: { group: string; runs: number; turns: number }): Promise<Slice>;
  /** Ends the runs of the group. */
  release(group: { group: string }): Promise<void>;
};

export async function withLoopingRuns<T>(
  site: Site,
  workflow: LoopingWorkflow,
  work: (runs: LoopingRuns) => Promise<T>,
): Promise<T> {
  const worker = await site.startWorker(workflow);
  const connection = connect(site.server.url);
  try {
    const { workflowId, version } = await register(connection, createWorkflows()[workflow]);
    return await work({
      async start({ group, runs, documents }) {
        const vars: LoopVars = { group, ...(documents === undefined ? {} : { documents }) };
        for (let index = 0; index < runs; index++) {
          await connection.runtime.startRun({ runId: randomUUID(), workflowId, version, vars: vars as never });
        }
        await worker.ask("advance", { group, runs, turns: 0 });
      },
      advance: (request) => worker.ask<GateReply>("advance", request),
      measure: (request) => measure(site, worker, { ...request, stepsPerTurn: STEPS_PER_TURN[workflow] }),
      async release(request) {
        await worker.ask("release", request);
        await sleep(SETTLE_MS);
      },
    });
  } finally {
    connection.close();
    await worker.stop();
  }
}

async function measure(
  site: Site,
  worker: ProgramProcess,
  { stepsPerTurn, ...request }: { group: string; runs: number; turns: number; stepsPerTurn: number },
): Promise<Slice> {
  await sleep(SETTLE_MS);
  const costOf = await site.watchCost({ worker: worker.pid });
  const { seconds, latencies } = await worker.ask<GateReply>("advance", request);
  const steps = request.runs * request.turns * stepsPerTurn;
  return { steps, seconds, latencies: latencies.map((ms) => ms / stepsPerTurn), cost: await costOf(steps) };
}
