/** The deadlines of jobs: when a worker must have accepted a job, mentioned it, and ended it. */
import { reportFailure } from "../../report-failure.ts";
import type { AssignedJob } from "../assigned-job.ts";
import type { Session } from "../session.ts";
import { failJob, failSilentJob, loseJob } from "./end-jobs.ts";
import { type LeaseToEnd, releaseLeases } from "./release.ts";
import type { LeaseState } from "./state.ts";

/** Ends every job that has missed a deadline. */
export function sweepDeadlines(state: LeaseState): void {
  const nowMs = state.pool.nowMs();
  const leases: LeaseToEnd[] = [];
  for (const { session, job } of state.pool.jobs.values()) {
    if (job.state !== "offered") checkAttempt(state, session, job, nowMs);
    else if (nowMs >= job.acceptBy) {
      const lease = withdrawOffer(state, session, job);
      if (lease !== undefined) leases.push(lease);
    }
  }
  releaseLeases(state, leases);
}

function withdrawOffer(state: LeaseState, session: Session, job: AssignedJob): LeaseToEnd | undefined {
  // Otherwise the job would come back to this worker and wait as long again, and so would all that follow it.
  session.isQuiet = true;
  session.link?.send({ type: "lease_lost", tokens: [job.token] });
  return loseJob(state, session, job);
}

function checkAttempt(state: LeaseState, session: Session, job: AssignedJob, nowMs: number): void {
  if (nowMs >= job.endBy) {
    failJob(state, session, job, { code: "TIMEOUT", message: `The attempt took longer than ${job.timeoutMs} ms.` });
  } else if (nowMs >= job.beatBy && session.link !== undefined) {
    // A worker that is not connected cannot send heartbeats; it has its own time to come back.
    const message = `The worker sent no heartbeat for the attempt for ${job.heartbeatTimeoutMs} ms.`;
    failSilentJob(state, session, job, { code: "HEARTBEAT_TIMEOUT", message }).catch(
      reportFailure(state.pool.context.log, "reading the row of a silent job failed"),
    );
  }
}
