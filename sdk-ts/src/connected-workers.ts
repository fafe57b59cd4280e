/** `client.workers`: the processes that take jobs. */
import { DeliverySchema } from "@abstractruntime/proto/effect_policy_pb";
import type { Worker as WorkerMessage } from "@abstractruntime/proto/worker_pb";
import { WorkerService } from "@abstractruntime/proto/worker_service_pb";
import type { ClientContext } from "./context.ts";
import { shortNameOf } from "./enum-names.ts";
import type { JsonObject } from "./json.ts";
import { itemsOf, type ListOptions } from "./pages.ts";
import { dateOf } from "./time.ts";
import type { ToolDelivery } from "./tool.ts";

/** A worker that is connected to a server. */
export type ConnectedWorker = {
  readonly workerSessionId: string;
  /** Who the worker says it is. */
  readonly actorId?: string | undefined;
  /** The name that the worker gave itself. */
  readonly name: string;
  readonly tools: readonly {
    readonly name: string;
    readonly version: string;
    readonly description: string;
    /** The JSON Schema of the arguments. Absent: any object. */
    readonly inputSchema?: JsonObject | undefined;
    readonly delivery: ToolDelivery;
    /** How many calls it runs at once. 0: as many as its credit allows. */
    readonly concurrency: number;
  }[];
  /** The workflows whose handlers it serves. An empty list of versions means all versions. */
  readonly workflows: readonly { readonly workflowId: string; readonly versions: readonly number[] }[];
  readonly customTypes: readonly {
    readonly type: string;
    readonly delivery: ToolDelivery;
    readonly concurrency: number;
  }[];
  /** The server that holds its stream. */
  readonly serverId: string;
  readonly connectTime: Date;
  /** Whether the worker takes no more jobs. */
  readonly draining: boolean;
};

export type ConnectedWorkers = {
  /** The workers that are connected to any server, by session id.
   *  @param filter.tool only workers that serve this tool */
  list(filter?: { tool?: string }, options?: ListOptions): AsyncIterable<ConnectedWorker>;
};

export function createConnectedWorkers({ connection }: ClientContext): ConnectedWorkers {
  return {
    list({ tool = "" } = {}, { pageSize = 0, ...options } = {}) {
      return itemsOf(async (pageToken) => {
        const request = { tool, pageSize, pageToken };
        const reply = await connection.unary(WorkerService.method.listWorkers, request, { ...options, retry: true });
        return { items: reply.workers.map(workerOfMessage), nextPageToken: reply.nextPageToken };
      });
    },
  };
}

function workerOfMessage(worker: WorkerMessage): ConnectedWorker {
  return {
    workerSessionId: worker.workerSessionId,
    actorId: worker.actorId || undefined,
    name: worker.name,
    tools: worker.tools.map(({ name, version, description, inputSchema, delivery, concurrency }) => ({
      name,
      version,
      description,
      inputSchema: schemaOf(inputSchema),
      delivery: (shortNameOf(DeliverySchema, delivery) as ToolDelivery | undefined) ?? "at-least-once",
      concurrency,
    })),
    workflows: worker.workflows.map(({ workflowId, versions }) => ({ workflowId, versions })),
    customTypes: worker.customTypes.map(({ type, delivery, concurrency }) => ({
      type,
      delivery: (shortNameOf(DeliverySchema, delivery) as ToolDelivery | undefined) ?? "at-least-once",
      concurrency,
    })),
    serverId: worker.serverId,
    connectTime: dateOf(worker.connectTime),
    draining: worker.draining,
  };
}

function schemaOf(text: Uint8Array): JsonObject | undefined {
  return text.length === 0 ? undefined : (JSON.parse(new TextDecoder().decode(text)) as JsonObject);
}
