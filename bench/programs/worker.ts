/** The worker: serves every workflow and tool of the benchmark, over gRPC, by the SDK. */
import { Worker } from "@abstractruntime/sdk";
import { machineMs } from "../clock.ts";
import { createGate } from "../gate.ts";
import { createTools, createWorkflows } from "../workflows.ts";
import { answerRequests, programArgument } from "./program.ts";

export type WorkerArgument = { url: string };
/** When the first job of a run came, on the machine's clock. */
export type Sighting = { runId: string; atMs: number };

/** More than there are runs, so that none ever waits for the worker's permission. */
const CONCURRENCY = 2_000;

const { url } = programArgument() as WorkerArgument;
const seen = new Map<string, number>();
let onSight: (() => void) | undefined;

const witness = {
  see(runId: string): void {
    if (seen.has(runId)) return;
    seen.set(runId, machineMs());
    onSight?.();
  },
};

const gate = createGate();
const worker = new Worker({
  server: url,
  concurrency: CONCURRENCY,
  tools: createTools(witness),
  workflows: Object.values(createWorkflows(witness, gate)),
});
await worker.start();

answerRequests({
  /** Forgets which runs were seen. */
  forget: () => seen.clear(),
  /** The sightings, once there are as many. */
  async sightings({ count }: { count: number }): Promise<Sighting[]> {
    while (seen.size < count) await new Promise<void>((resolve) => (onSight = resolve));
    return [...seen].map(([runId, atMs]) => ({ runId, atMs }));
  },
  advance: gate.advance,
  release: gate.release,
  /** Finishes what it has, and leaves. */
  drain: () => worker.drain(),
  /** Leaves with what it has unfinished. */
  goodbye: () => worker.stop({ graceMs: 0 }),
});
