/** A server for the fuzzers of the port: an engine in memory, and a run beside them that has to be served. */
import { inspect } from "node:util";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { RunStatus } from "@abstractruntime/proto/run_pb";
import { RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import { createRpcServer, type RpcServerOptions } from "../../server/src/rpc/server.ts";
import { openSharedDatabase, startTestServer } from "../support/engine.ts";
import { serveTools } from "../conformance/wire-worker.ts";

type Logger = RpcServerOptions["log"];

/** The tool that the fuzzed workers serve. */
export const FUZZED_TOOL = "fuzzed";

/** Codes that say that the server itself is wrong. */
const FAULTS: ReadonlySet<number> = new Set([2, 13, 15]);

export type FuzzPort = {
  url: string;
  port: number;
  /** What the words of a request can name. */
  words: string[];
  /** Errors that the server has logged. */
  errors: string[];
  /** Throws if the code, or a line of the log, is a fault of the server. */
  assertSound(code: number | undefined): void;
  /** Starts a run and sees it end. */
  serveRun(): Promise<void>;
  /** Starts a run whose calls a fuzzed worker gets. */
  startFuzzedRun(): Promise<void>;
  close(): Promise<void>;
};

export async function openFuzzPort(): Promise<FuzzPort> {
  const database = await openSharedDatabase("memory");
  const server = await startTestServer(database);
  const errors: string[] = [];
  const rpc = createRpcServer({
    engine: server.engine,
    config: { listen: { host: "127.0.0.1", port: 0 }, hosts: [], origins: [] },
    log: errorLog(errors),
  });
  const { url, port } = await rpc.listen();
  const runtime = createClient(RuntimeService, createGrpcTransport({ baseUrl: url }));
  // No request can name these workflows, and archive them.
  const callOf = (name: string) => ({
    workflowId: `hidden-${name}`,
    entryNode: "call",
    nodes: {
      call: {
        kind: { case: "toolCalls" as const, value: { calls: [{ name }] } },
        resultKey: "found",
        next: [{ to: "done" }],
      },
      done: { kind: { case: "complete" as const, value: {} } },
    },
  });
  for (const name of ["steady", FUZZED_TOOL]) await runtime.registerWorkflow({ workflow: callOf(name) });
  const asking = {
    workflowId: "asking",
    entryNode: "ask",
    nodes: {
      ask: { kind: { case: "askUser" as const, value: { prompt: "?" } }, resultKey: "reply", next: [{ to: "done" }] },
      done: { kind: { case: "complete" as const, value: {} } },
    },
  };
  await runtime.registerWorkflow({ workflow: asking });
  const { run } = await runtime.startRun({ workflowId: "asking", runId: "fuzz-run" });
  const { run: waiting } = await runtime.awaitRun({ runId: run!.runId });
  const worker = await serveTools(port, ["steady"]);

  return {
    url,
    port,
    errors,
    words: [
      "asking",
      "steady",
      FUZZED_TOOL,
      "fuzz-run",
      waiting!.waiting!.waitId,
      "call",
      "done",
      "ask",
      "found",
      "text",
    ],
    assertSound(code) {
      if (code !== undefined && (FAULTS.has(code) || code < 0)) {
        throw new Error(`the reply has the code ${code}; the log says: ${errors.slice(-3).join("")}`);
      }
      if (errors.length > 0) throw new Error(`the server has logged an error: ${errors.join("")}`);
    },
    async serveRun() {
      const { run: started } = await runtime.startRun({ workflowId: "hidden-steady" });
      const { run: ended } = await runtime.awaitRun({ runId: started!.runId });
      if (ended?.status !== RunStatus.COMPLETED) throw new Error(`a run beside does not complete: ${ended?.status}`);
      await runtime.deleteRun({ runId: started!.runId });
    },
    async startFuzzedRun() {
      await runtime.startRun({ workflowId: `hidden-${FUZZED_TOOL}` });
    },
    async close() {
      worker.cut();
      await rpc.close(0);
      await server.stop();
      await database.close();
    },
  };
}

/** A log that keeps its errors. */
function errorLog(errors: string[]): Logger {
  const ignore = (): void => undefined;
  const error = (...line: unknown[]): void => void errors.push(inspect(line));
  return { trace: ignore, debug: ignore, info: ignore, warn: ignore, error, fatal: error } as unknown as Logger;
}
