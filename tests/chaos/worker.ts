/**
 * A worker to be killed: `node tests/chaos/worker.ts '{…}'`. The argument is `WorkerArguments` as JSON. Its log goes to
 * stderr.
 */
import { Worker, type WorkerTiming } from "@abstractruntime/sdk";
import { openToolLog } from "./tool-log.ts";
import { createNoteTool, WORKFLOWS } from "./work.ts";

export type WorkerArguments = {
  name: string;
  addresses: readonly string[];
  toolLog: string;
  timing: Partial<WorkerTiming>;
};

/** The number of jobs at once: few enough that all workers have some. */
const CONCURRENCY = 20;

const { name, addresses, toolLog, timing } = JSON.parse(process.argv[2] ?? "{}") as WorkerArguments;

function logAt(level: string) {
  return (fields: object, message: string): void =>
    void process.stderr.write(`${JSON.stringify({ time: new Date(), level, pid: process.pid, ...fields, message })}\n`);
}

const worker = new Worker({
  name,
  server: addresses,
  concurrency: CONCURRENCY,
  tools: [createNoteTool(openToolLog(toolLog))],
  workflows: WORKFLOWS.map(({ definition }) => definition),
  timing,
  log: { debug: logAt("debug"), info: logAt("info"), warn: logAt("warn"), error: logAt("error") },
});
worker.handleSignals();
process.send?.("handles signals");
process.disconnect?.();
// If it is asked to end before it was connected, as can happen right after a restart, it ends normally.
worker.start().catch(() => undefined);
// A refusal by the server is not part of the chaos: the process ends with an error, and the test reports it.
await worker.closed;
