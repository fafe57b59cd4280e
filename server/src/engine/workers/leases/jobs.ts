/** What happens to a job while all goes well: it is offered, accepted, kept alive, and its result arrives. */
import type { AssignedJob } from "../assigned-job.ts";
import { sendTokens, type Session } from "../session.ts";
import { removeJob } from "./remove-job.ts";
import { takeNews } from "./run-news.ts";
import { startJobs } from "./start-jobs.ts";
import type { LeaseState } from "./state.ts";
import { watchRun } from "./watches.ts";

export type NewAssignedJob = Omit<AssignedJob, "state" | "acceptBy" | "endBy" | "beatBy" | "isPaused"> &
  Partial<Pick<AssignedJob, "state">> & {
    /** How long ago the job was leased, if it was accepted at another server. */
    elapsedMs?: number;
  };

/** Notes that a session is being offered a job, or has one from before. Its queue was joined before. */
export function assignJob(
  state: LeaseState,
  session: Session,
  { elapsedMs = 0, ...facts }: NewAssignedJob,
): AssignedJob {
  const { pool } = state;
  const nowMs = pool.nowMs();
  const isAccepted = facts.state !== undefined && facts.state !== "offered";
  const job: AssignedJob = {
    state: "offered",
    ...facts,
    acceptBy: nowMs + pool.context.settings.acceptMs,
    endBy: isAccepted ? nowMs + Math.max(facts.timeoutMs - elapsedMs, 0) : Number.POSITIVE_INFINITY,
    beatBy: isAccepted ? nextBeatBy(nowMs, facts) : Number.POSITIVE_INFINITY,
    isPaused: false,
  };
  pool.jobs.set(job.token, { session, job });
  session.jobs.set(job.token, job);
  if (job.handlerRun === undefined) watchRun(state, job, takeNews);
  else job.handlerRun.token = job.token;
  return job;
}

/** The worker has accepted these jobs. Tells it which of them it does not have. */
export function acceptJobs(state: LeaseState, session: Session, tokens: readonly string[]): void {
  const nowMs = state.pool.nowMs();
  const jobsToStart: AssignedJob[] = [];
  const lostTokens: string[] = [];
  for (const token of tokens) {
    const job = session.jobs.get(token);
    if (job === undefined) {
      lostTokens.push(token);
      continue;
    }
    if (job.state === "offered") {
      job.state = "accepted";
      job.endBy = nowMs + job.timeoutMs;
      job.beatBy = nextBeatBy(nowMs, job);
    }
    // Also after a reconnection: the start may have been lost with the stream, and a worker begins a job only once.
    if (job.isAtMostOnce) jobsToStart.push(job);
  }
  sendTokens(session, { type: "lease_lost", tokens: lostTokens });
  if (jobsToStart.length > 0) startJobs(state, session, jobsToStart);
}

/** The worker is at work on these jobs. Tells it which of them it does not have. */
export function noteHeartbeats(state: LeaseState, session: Session, tokens: readonly string[]): void {
  const nowMs = state.pool.nowMs();
  const lostTokens: string[] = [];
  for (const token of tokens) {
    const job = session.jobs.get(token);
    if (job === undefined) lostTokens.push(token);
    else if (job.state !== "offered") job.beatBy = nextBeatBy(nowMs, job);
  }
  sendTokens(session, { type: "lease_lost", tokens: lostTokens });
}

/** Removes the job whose result has arrived. */
export function takeJob(state: LeaseState, token: string): AssignedJob | undefined {
  const entry = state.pool.jobs.get(token);
  if (entry === undefined) return undefined;
  removeJob(state, entry.session, entry.job);
  return entry.job;
}

function nextBeatBy(nowMs: number, { heartbeatTimeoutMs }: Pick<AssignedJob, "heartbeatTimeoutMs">): number {
  return heartbeatTimeoutMs === undefined ? Number.POSITIVE_INFINITY : nowMs + heartbeatTimeoutMs;
}
