/** What the keeper of leases shares between its parts. The jobs themselves are in the pool. */
import type { RunKey } from "../../../store/contract/runs.ts";
import type { HandlerRuns } from "../handler-runs.ts";
import type { WorkerPool } from "../pool.ts";
import type { JobSettler } from "../settle-jobs.ts";

export type LeaseParts = {
  readonly settler: JobSettler;
  readonly handlerRuns: () => HandlerRuns;
  readonly serverId: () => string;
  /** Jobs are in this queue again. */
  readonly onOpen: (queue: string) => void;
  /** A worker that limits how many jobs of a queue it has at once has one less. */
  readonly onRoom: () => void;
};

/** A run of which a session of this server has a job. */
export type RunWatch = {
  readonly key: RunKey;
  /** Its key in `watches`. */
  readonly text: string;
  /** The tokens of its jobs that have a lease; never empty. */
  readonly tokens: Set<string>;
  readonly unwatch: () => void;
};

export type LeaseState = LeaseParts & {
  readonly pool: WorkerPool;
  /** By `runKeyText`. */
  readonly watches: Map<string, RunWatch>;
  /** Whether `onRoom` is about to be called. */
  isRoomAnnounced: boolean;
};

export function createLeaseState(pool: WorkerPool, parts: LeaseParts): LeaseState {
  return { ...parts, pool, watches: new Map(), isRoomAnnounced: false };
}
