/** The worker: serves every workflow and tool of the benchmark over gRPC, with the SDK. */
import { Worker } from "@abstractruntime/sdk";
import { machineMs } from "../clock.ts";
import { createGate } from "../gate.ts";
import { createTools, createWorkflows } from "../workflows.ts";
import { answerRequests, programArgument } from "./program.ts";

export type WorkerArgument = { url: string };
/** When the first job of a run arrived, on the machine's clock. */
export type Sighting = { runId: string; atMs: number };

/** More than there are runs, so that no job ever waits for credit. */
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
  /** Clears the sightings. */
  forget: () => seen.clear(),
  /** Returns the sightings once there are this many. */
  async sightings({ count }: { count: number }): Promise<Sighting[]> {
    while (seen.size < count) await new Promise<void>((resolve) => (onSight = resolve));
    return [...seen].map(([runId, atMs]) => ({ runId, atMs }));
  },
  advance: gate.advance,
  release: gate.release,
  /** Finishes its jobs, and leaves. */
  drain: () => worker.drain(),
  /** Leaves with its jobs unfinished. */
  goodbye: () => worker.stop({ graceMs: 0 }),
});
