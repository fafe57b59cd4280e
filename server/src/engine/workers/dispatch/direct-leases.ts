/**
 * Leases new jobs in the transaction that creates them, if a worker has credit and nothing else waits in their queues.
 */
import type { JobDraft } from "../../../core/job.ts";
import type { RunState } from "../../../core/run.ts";
import type { LeasedJob, NewJob } from "../../../store/contract/jobs.ts";
import type { WorkerLink } from "../../api.ts";
import type { Reservation } from "../../reactions.ts";
import { queueText } from "../job-queue.ts";
import { returnCredit, type Session, takeCredit } from "../session.ts";
import { noteJobs, pump } from "./backlog.ts";
import { findSession } from "./eligible-sessions.ts";
import { offerJob, payloadOf } from "./offers.ts";
import type { DispatchState } from "./state.ts";

export function reserveJobs(state: DispatchState, drafts: readonly JobDraft[], run: RunState): Reservation {
  const leased: { session: Session; link: WorkerLink | undefined; queue: string; job: NewJob }[] = [];
  const unservedQueues = new Set<string>();
  const jobs = drafts.map((draft): NewJob => {
    const queue = queueText({ tenantId: run.tenantId, kind: draft.kind, name: draft.name });
    const mustWait = draft.dueTime !== undefined || run.paused || state.backlog.has(queue);
    const session = mustWait ? undefined : findSession(state, queue, run.version);
    if (session === undefined) {
      if (draft.dueTime === undefined) unservedQueues.add(queue);
      return draft;
    }
    takeCredit(session, queue);
    const job = { ...draft, lease: { serverId: state.serverId(), workerSessionId: session.workerSessionId } };
    leased.push({ session, link: session.link, queue, job });
    return job;
  });
  return {
    jobs,
    commit() {
      for (const { session, queue, job } of leased) {
        offerJob(state, session, queue, leasedJob(job, run), payloadOf(state, job, run));
      }
      for (const queue of unservedQueues) noteJobs(state, queue, false);
    },
    cancel() {
      // The transition may have been committed although its reply is missing.
      state.pool.isDoubtful ||= leased.length > 0;
      for (const { session, link, queue } of leased) returnCredit(session, queue, link);
      if (leased.length > 0) pump(state);
    },
  };
}

/** A job that its own transition has leased, as a claim would return it. */
function leasedJob(job: NewJob, run: RunState): LeasedJob {
  const { tenantId, runId, workflowId, version, sessionId } = run;
  return {
    tenantId,
    idempotencyKey: job.idempotency_key,
    runId,
    kind: job.kind,
    name: job.name,
    state: "leased",
    leaseNo: 1,
    workerSessionId: job.lease!.workerSessionId,
    losses: job.losses ?? 0,
    attempt: job.attempt ?? 1,
    ordinal: job.ordinal,
    timeoutMs: job.timeoutMs,
    ...(job.heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs: job.heartbeatTimeoutMs }),
    ...(job.delivery === undefined ? {} : { delivery: job.delivery }),
    seq: job.seq,
    nodeId: job.nodeId,
    ...(job.call_id === undefined ? {} : { callId: job.call_id }),
    payload: job.payload,
    workflowId,
    version,
    ...(sessionId === undefined ? {} : { sessionId }),
  };
}
