/** How a run stands with everybody who could move it: read for people who ask why it does not. */
import type { Instant } from "../../core/duration.ts";
import type { JobHead, JobState } from "./jobs.ts";
import type { RunKey, StoredRun } from "./runs.ts";

/** Letters that are read: enough to see what was asked of the run. */
export const STANDING_MAIL_MAX = 20;
/** Jobs that are read one by one: what moves a run next is among the first of them. */
export const STANDING_JOBS_MAX = 50;
/** Places of a queue that are counted for each job: a queue may be long, and nobody who is that far behind counts. */
export const STANDING_PLACES_MAX = 1_000;

/** The lane that owns an active run. */
export type OwnerStanding = {
  laneId: number;
  /** Whether the lane has ended, or is not there. */
  ended: boolean;
  /** Missing if the lane is not there. */
  server?: { serverId: string; process: string };
};

/** A job that is neither settled nor cancelled. */
export type JobStanding = Pick<
  JobHead,
  | "idempotencyKey"
  | "kind"
  | "name"
  | "state"
  | "leaseNo"
  | "workerSessionId"
  | "leaseServerId"
  | "leaseTime"
  | "losses"
  | "attempt"
> & {
  nodeId: string;
  /** Its run is paused: it is neither given out nor due. */
  held: boolean;
  /** Delayed: when it becomes open. Open: when it has waited for a worker too long. */
  dueTime?: Instant;
  /**
   * From 1 to one more than STANDING_PLACES_MAX, which means all later ones; missing unless it is open and not held.
   */
  queuePlace?: number;
  /** Whether the worker that has it is on the list of a server whose lease is open; missing if nobody has it. */
  isWorkerListed?: boolean;
};

/** All of it as it was at one moment. */
export type RunStanding = {
  /** Database time. */
  now: Instant;
  /** Without payloads, as `runs.loadHeads` gives it. */
  run: StoredRun;
  /** Missing while the run is parked. */
  owner?: OwnerStanding;
  /** When a server looks at the run by itself. */
  wakeTime?: Instant;
  /** The first letters, at most STANDING_MAIL_MAX, and how many there are. */
  mail: { first: { kind: string; createTime: Instant }[]; total: number };
  /** How many jobs the run has in each state, in no order; states without jobs are left out. */
  jobCounts: { state: JobState; count: number }[];
  /**
   * At most STANDING_JOBS_MAX: running ones, then leased, then open, then delayed ones; in each state in the order of
   * their turns and positions.
   */
  openJobs: JobStanding[];
  /** The channel of the run's event wait; missing if it has none. */
  channel?: { lastNumber: number; wokenNumber: number };
};

export interface StandingStore {
  /** How a run stands. Locks nothing. Undefined if there is no such run. */
  read(key: RunKey): Promise<RunStanding | undefined>;
}
