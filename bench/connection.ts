/** Plain gRPC to a server, without the SDK: a load generator should cost as little as possible. */
import { RunStatus } from "@abstractruntime/proto/run_pb";
import { RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import type { Workflow } from "@abstractruntime/sdk";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

export type Connection = { runtime: Client<typeof RuntimeService>; close(): void };

export function connect(url: string): Connection {
  const sessionManager = new Http2SessionManager(url);
  const transport = createGrpcTransport({ baseUrl: url, sessionManager, acceptCompression: [] });
  return { runtime: createClient(RuntimeService, transport), close: () => sessionManager.abort() };
}

/** Registers a workflow and returns the id and version for starts. */
export async function register(
  { runtime }: Connection,
  { definition }: Workflow,
): Promise<{ workflowId: string; version: number }> {
  const { workflow } = await runtime.registerWorkflow({ workflow: definition });
  if (workflow === undefined) throw new Error("the reply contains no workflow");
  return { workflowId: workflow.workflowId, version: workflow.version };
}

/** Starts a run and waits for its end: StartRun, then AwaitRun. */
export async function runToEnd(
  { runtime }: Connection,
  request: { runId: string; workflowId: string; version: number; vars: { order: number } },
): Promise<void> {
  const { runId } = request;
  await runtime.startRun(request);
  const { run } = await runtime.awaitRun({ runId });
  if (run?.status !== RunStatus.COMPLETED) throw new Error(`run ${runId} has status ${run?.status}`);
}
