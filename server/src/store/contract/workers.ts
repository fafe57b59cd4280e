/** Workers that are connected to servers. */
import type { Delivery as JobDelivery } from "../../core/call.ts";
import type { DamageError } from "../../core/damage.ts";
import type { Instant } from "../../core/duration.ts";

/** A worker that is connected to a server. */
export type StoredWorker = {
  tenantId: string;
  workerSessionId: string;
  serverId: string;
  actorId?: string;
  name: string;
  tools: readonly StoredTool[];
  workflows: readonly { workflowId: string; versions: readonly number[] }[];
  customTypes: readonly { type: string; delivery?: JobDelivery; concurrency: number }[];
  connectTime: Instant;
  draining: boolean;
  /** What the worker serves cannot be read: the lists are empty. */
  damage?: DamageError;
};

/** What a worker serves, without the schemas of its tools. */
export type WorkerServices = Pick<StoredWorker, "tenantId" | "workerSessionId" | "workflows" | "customTypes"> & {
  toolNames: readonly string[];
};

export type StoredTool = {
  name: string;
  version: string;
  description: string;
  /** JSON text; "" if it has no schema. */
  inputSchema: string;
  delivery?: JobDelivery;
  /** 0: no limit of its own. */
  concurrency: number;
};

export interface WorkerStore {
  /**
   * Registers a connected worker, and replaces an earlier connection of its session. The connect time is database time.
   */
  save(worker: Omit<StoredWorker, "connectTime">): Promise<void>;
  /** Removes a worker from the list, unless it has since connected to another server. */
  remove(worker: Pick<StoredWorker, "tenantId" | "workerSessionId" | "serverId">): Promise<void>;
  /** Returns the workers of servers that have not ended, by session id. */
  list(request: { tenantId: string; tool?: string; start?: string; limit: number }): Promise<StoredWorker[]>;
  /**
   * Returns what workers of all tenants serve if they accept jobs and are connected to another server that has not
   * ended.
   */
  listElsewhere(serverId: string, limit: number): Promise<WorkerServices[]>;
}
