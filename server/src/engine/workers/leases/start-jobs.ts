/** Jobs that are delivered at most once begin only after the database has noted it. */
import { reportFailure } from "../../report-failure.ts";
import { retryUntilDone } from "../../retry.ts";
import type { AssignedJob } from "../assigned-job.ts";
import { sendTokens, type Session } from "../session.ts";
import { removeJob } from "./remove-job.ts";
import type { LeaseState } from "./state.ts";

/** Starts accepted jobs in the background, and tells their worker which it may begin. */
export function startJobs(state: LeaseState, session: Session, jobs: readonly AssignedJob[]): void {
  const { log } = state.pool.context;
  startUntilDone(state, session, jobs).catch(reportFailure(log, "starting jobs failed"));
}

async function startUntilDone(state: LeaseState, session: Session, jobs: readonly AssignedJob[]): Promise<void> {
  const { context, jobs: assigned } = state.pool;
  const leases = jobs.map(({ lease }) => lease!);
  const isOver = () => context.isStopping() || !jobs.some(({ token }) => assigned.has(token));
  await retryUntilDone(isOver, async () => {
    try {
      noteStarts(state, session, jobs, await context.store.jobs.start(leases));
      return true;
    } catch (error) {
      reportFailure(context.log, "starting jobs failed")(error);
      return false;
    }
  });
}

/** @param isStarted by job: whether its lease held and it has started */
function noteStarts(
  state: LeaseState,
  session: Session,
  jobs: readonly AssignedJob[],
  isStarted: readonly boolean[],
): void {
  const startedTokens: string[] = [];
  const lostTokens: string[] = [];
  for (const [index, job] of jobs.entries()) {
    // The job may have been taken away meanwhile.
    const isAssigned = state.pool.jobs.has(job.token);
    if (isStarted[index]) {
      if (!isAssigned) continue;
      job.state = "running";
      startedTokens.push(job.token);
    } else {
      if (isAssigned) removeJob(state, session, job);
      lostTokens.push(job.token);
    }
  }
  sendTokens(session, { type: "start", tokens: startedTokens });
  sendTokens(session, { type: "lease_lost", tokens: lostTokens });
}
