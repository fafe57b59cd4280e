/** A worker to be killed: `node tests/chaos/worker.ts '{…}'`, the argument being `WorkerArguments` as JSON. Its log goes to stderr. */
import { Worker, type WorkerTiming } from "@abstractruntime/sdk";
import { openToolLog } from "./tool-log.ts";
import { createNoteTool, WORKFLOWS } from "./work.ts";

export type WorkerArguments = {
  name: string;
  addresses: readonly string[];
  toolLog: string;
  timing: Partial<WorkerTiming>;
};

/** Jobs at once: few enough that all workers have some. */
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
// Told to end before it was connected, as one that was just started again may be, it ends well.
worker.start().catch(() => undefined);
// A worker that the server refuses is none of the chaos: the process ends with an error, and the test says so.
await worker.closed;
