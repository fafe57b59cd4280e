/** Workers that are connected to servers. */
import type { Delivery as JobDelivery } from "../../core/decision.ts";
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
};

/** What a worker serves, without what its tools look like. */
export type WorkerServices = Pick<StoredWorker, "tenantId" | "workerSessionId" | "workflows" | "customTypes"> & {
  toolNames: readonly string[];
};

export type StoredTool = {
  name: string;
  version: string;
  description: string;
  /** JSON text; "" where there is none. */
  inputSchema: string;
  delivery?: JobDelivery;
  /** 0: no bound of its own. */
  concurrency: number;
};

export interface WorkerStore {
  /**
   * Registers a connected worker, in place of an earlier connection of its session. Its connect time is the database's.
   */
  save(worker: Omit<StoredWorker, "connectTime">): Promise<void>;
  /** Takes a worker off the list, unless it has connected to another server since. */
  remove(worker: Pick<StoredWorker, "tenantId" | "workerSessionId" | "serverId">): Promise<void>;
  /** Workers of servers that have not ended, by session id. */
  list(request: { tenantId: string; tool?: string; start?: string; limit: number }): Promise<StoredWorker[]>;
  /**
   * What workers serve, of all tenants, that are connected to other servers that have not ended, and that take jobs.
   */
  listElsewhere(serverId: string, limit: number): Promise<WorkerServices[]>;
}
