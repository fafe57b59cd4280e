/** Claims jobs that wait in their queues: leases them in one statement, then offers them. */
import { callsOf } from "../../../core/run.ts";
import { type Call, isOpen } from "../../../core/call.ts";
import type { JobRequest, LeasedJob } from "../../../store/contract/jobs.ts";
import type { WorkerLink } from "../../api.ts";
import { reportDamage } from "../../report-damage.ts";
import { reportFailure } from "../../report-failure.ts";
import { queueFromText, queueText } from "../job-queue.ts";
import { returnCredit, type Session } from "../session.ts";
import type { Demand } from "./demands.ts";
import { ALL_VERSIONS, versionsText } from "./eligible-sessions.ts";
import { offerJob, payloadOf } from "./offers.ts";
import { CLAIM_MAX, type DispatchState } from "./state.ts";

/** The characters of payloads that a claim should bring. A payload may have a million; then fewer jobs are claimed. */
const CLAIM_CHARS_MAX = 8 * 1024 * 1024;

/** The link of each session when its credit was taken: credit ends with the connection that granted it. */
type Links = ReadonlyMap<Session, WorkerLink | undefined>;

/** What a claim left behind: perhaps more jobs, an empty backlog, or everything because the database refused it. */
type ClaimOutcome = "more" | "empty" | "failed";

/** Claims jobs and offers them. */
export async function claimJobs(state: DispatchState, demands: readonly Demand[]): Promise<ClaimOutcome> {
  const requests = demands.map(requestOf);
  for (const { queue } of demands) state.notedSinceClaim.delete(queue);
  const links: Links = new Map(
    demands.flatMap(({ sessions }) => sessions.map((session) => [session, session.link] as const)),
  );
  let jobs: LeasedJob[];
  try {
    jobs = await state.pool.context.store.jobs.claim(state.serverId(), requests);
  } catch (error) {
    returnCredits(demands, links);
    // The claim may have been committed although its reply is missing.
    state.pool.isDoubtful = true;
    reportFailure(state.pool.context.log, "claiming jobs failed")(error);
    return "failed";
  }
  let chars = 0;
  for (const job of jobs) {
    const queue = queueText(job);
    const session = takeSession(demands, queue, job.workerSessionId);
    if (session !== undefined) chars += await offerClaimedJob(state, session, queue, job, links.get(session));
  }
  state.claimMax = nextClaimMax(state.claimMax, jobs.length, chars);
  return endClaim(state, demands, links) ? "more" : "empty";
}

function requestOf({ queue, versions, sessions }: Demand): JobRequest {
  return {
    ...queueFromText(queue),
    ...(versions === undefined ? {} : { versions }),
    workerSessionIds: sessions.map(({ workerSessionId }) => workerSessionId),
  };
}

/** Takes the session to which a job was leased out of the demands for the job's queue. */
function takeSession(demands: readonly Demand[], queue: string, workerSessionId: string): Session | undefined {
  for (const demand of demands) {
    if (demand.queue !== queue) continue;
    const index = demand.sessions.findIndex((session) => session.workerSessionId === workerSessionId);
    if (index !== -1) return demand.sessions.splice(index, 1)[0];
  }
  return undefined;
}

/** Returns the number of characters sent. */
async function offerClaimedJob(
  state: DispatchState,
  session: Session,
  queue: string,
  job: LeasedJob,
  link: WorkerLink | undefined,
): Promise<number> {
  if (reportDamage(state.pool.context.log, job.damage)) {
    returnCredit(session, queue, link);
    // Given back, it would be claimed again at once, and for ever.
    const message = "What is stored of the job is damaged, so no worker was asked.";
    state.leases.fail({ ...job, queue, isLoss: false }, { code: "JOB_DAMAGED", message, nonRetryable: true });
    return 0;
  }
  if (job.kind !== "handler") return offerJob(state, session, queue, job, JSON.stringify(job.payload));
  const run = await state.pool.context.loadRun(job).catch(() => undefined);
  const isOpenCall = (call: Call): boolean => call.idempotency_key === job.idempotencyKey && isOpen(call);
  if (run !== undefined && callsOf(run.state).some(isOpenCall)) {
    return offerJob(state, session, queue, job, payloadOf(state, job, run.state));
  }
  // The run does not need the handler any more.
  returnCredit(session, queue, link);
  state.leases.release([{ ...job, queue, isLoss: false }]);
  return 0;
}

/** Twice as many jobs if their payloads were small enough, or else as many as would have been. */
function nextClaimMax(claimMax: number, jobs: number, chars: number): number {
  const fitting = chars <= CLAIM_CHARS_MAX ? claimMax * 2 : Math.floor((jobs * CLAIM_CHARS_MAX) / chars);
  return Math.min(Math.max(fitting, 1), CLAIM_MAX);
}

/**
 * Returns unused credit to its sessions, and takes empty queues off the backlog.
 * @returns whether there may be more jobs
 */
function endClaim(state: DispatchState, demands: readonly Demand[], links: Links): boolean {
  const { backlog, notedSinceClaim } = state;
  returnCredits(demands, links);
  // A queue may have more jobs if it met a demand in full. If it did not, it is empty, unless it was noted meanwhile.
  const fullQueues = new Set(demands.filter(({ sessions }) => sessions.length === 0).map(({ queue }) => queue));
  for (const { queue } of demands) {
    if (fullQueues.has(queue) || notedSinceClaim.has(queue)) continue;
    backlog.delete(queue);
    noteEmptyVersions(state, demands, queue);
  }
  // Returned credit may be for queues that were not claimed from, because no credit remained for them.
  return fullQueues.size > 0 || demands.some(({ sessions }) => sessions.length > 0);
}

/** Notes for which versions the claim found the queue empty. */
function noteEmptyVersions({ emptyVersions }: DispatchState, demands: readonly Demand[], queue: string): void {
  const claimed = demands.filter((demand) => demand.queue === queue).map(({ versions }) => versionsText(versions));
  if (claimed.includes(ALL_VERSIONS)) emptyVersions.delete(queue);
  else emptyVersions.set(queue, new Set([...(emptyVersions.get(queue) ?? []), ...claimed]));
}

function returnCredits(demands: readonly Demand[], links: Links): void {
  for (const { queue, sessions } of demands) {
    for (const session of sessions) returnCredit(session, queue, links.get(session));
  }
}
