/**
 * What the dispatcher remembers. A crash loses it without harm: a queue is noted again when a worker connects, and
 * waiting handlers are requested again by whoever claims their run.
 */
import type { FairQueue } from "../fair-queue.ts";
import type { HandlerRun, HandlerRuns } from "../handler-runs.ts";
import type { LeaseKeeper } from "../leases/lease-keeper.ts";
import type { WorkerPool } from "../pool.ts";

/** Jobs of one claim: one statement leases them all, and their payloads are in memory together. */
export const CLAIM_MAX = 200;

export type DispatchParts = {
  readonly pool: WorkerPool;
  readonly leases: LeaseKeeper;
  readonly handlerRuns: HandlerRuns;
  readonly serverId: () => string;
};

export type DispatchState = DispatchParts & {
  /** Queues in which jobs may be waiting, as far as this server knows. The one to claim from next comes first. */
  readonly backlog: Set<string>;
  /** The queues of the backlog that were noted after their last claim began: that claim may have missed a job. */
  readonly notedSinceClaim: Set<string>;
  /**
   * Queues that a claim found empty for some versions (see `versionsText`), but not for all: jobs of other versions may
   * be waiting. A queue that is noted leaves this map.
   */
  readonly emptyVersions: Map<string, ReadonlySet<string>>;
  /** By queue: handlers without a job row that wait for a worker. A queue without any has no entry. */
  readonly waitingHandlers: Map<string, FairQueue<HandlerRun>>;
  /** A timer for each waiting handler, and for no other. */
  readonly handlerTimers: Map<HandlerRun, NodeJS.Timeout>;
  /** Whether the claim loop is running: there is at most one. */
  isClaiming: boolean;
  /** Whether the claim loop must go round (once more). */
  isClaimDue: boolean;
  /** The index of the session that was last given a job directly, so that sessions take turns. */
  lastServedIndex: number;
  /** Jobs of the next claim: from 1 to `CLAIM_MAX`, fewer while their payloads are large. */
  claimMax: number;
};

export function createDispatchState(parts: DispatchParts): DispatchState {
  return {
    ...parts,
    backlog: new Set(),
    notedSinceClaim: new Set(),
    emptyVersions: new Map(),
    waitingHandlers: new Map(),
    handlerTimers: new Map(),
    isClaiming: false,
    isClaimDue: false,
    lastServedIndex: 0,
    claimMax: CLAIM_MAX,
  };
}
