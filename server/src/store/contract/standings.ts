/** How a run stands with everything that could move it, for people who ask why it does not move. */
import type { Instant } from "../../core/duration.ts";
import type { JobHead, JobState } from "./jobs.ts";
import type { RunKey, StoredRun } from "./runs.ts";

/** The most letters to read: enough to see what the run was asked to do. */
export const STANDING_MAIL_MAX = 20;
/** The most jobs to read in detail. Whatever moves the run next is among the first of them. */
export const STANDING_JOBS_MAX = 50;
/**
 * The most queue places to count for each job. A queue may be long, and beyond this the exact place does not matter.
 */
export const STANDING_PLACES_MAX = 1_000;

/** The lane that owns an active run. */
export type OwnerStanding = {
  laneId: number;
  /** Whether the lane has ended or does not exist. */
  ended: boolean;
  /** Missing if the lane does not exist. */
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
  /** True while its run is paused: the job is neither given out nor due. */
  held: boolean;
  /** For a delayed job, when it becomes open. For an open job, when it will have waited for a worker too long. */
  dueTime?: Instant;
  /**
   * From 1 to STANDING_PLACES_MAX + 1, which stands for that place and all later ones. Missing unless the job is open
   * and not held.
   */
  queuePlace?: number;
  /** Whether the job's worker is listed by a server whose lease is open; missing if no worker has the job. */
  isWorkerListed?: boolean;
};

/** Everything as of one moment. */
export type RunStanding = {
  /** Database time. */
  now: Instant;
  /** Without payloads, as `runs.loadHeads` returns it. */
  run: StoredRun;
  /** Missing while the run is parked. */
  owner?: OwnerStanding;
  /** When a server next wakes the run without other input. */
  wakeTime?: Instant;
  /** The first letters, at most STANDING_MAIL_MAX, and the total number. */
  mail: { first: { kind: string; createTime: Instant }[]; total: number };
  /** How many jobs the run has in each state, in no particular order. States without jobs are left out. */
  jobCounts: { state: JobState; count: number }[];
  /**
   * At most STANDING_JOBS_MAX: first running jobs, then leased, open and delayed ones. Within a state they follow their
   * turns and positions.
   */
  openJobs: JobStanding[];
  /** The channel of the run's event wait; missing if it has none. */
  channel?: { lastNumber: number; wokenNumber: number };
};

export interface StandingStore {
  /** Returns how a run stands, or undefined if it does not exist. Locks nothing. */
  read(key: RunKey): Promise<RunStanding | undefined>;
}
