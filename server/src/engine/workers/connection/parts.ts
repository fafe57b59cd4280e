import type { Dispatcher } from "../dispatch/dispatcher.ts";
import type { HandlerRuns } from "../handler-runs.ts";
import type { LeaseKeeper } from "../leases/lease-keeper.ts";
import type { WorkerPool } from "../pool.ts";
import type { JobSettler } from "../settle-jobs.ts";

/** What a worker's connection acts on. Its own state is its `Session`. */
export type WorkerParts = {
  readonly pool: WorkerPool;
  readonly leases: LeaseKeeper;
  readonly dispatcher: Dispatcher;
  readonly handlerRuns: HandlerRuns;
  readonly settler: JobSettler;
  readonly serverId: () => string;
};
