/** Offers jobs to sessions. The credit for an offer was taken, and the lease of a job with a row was committed. */
import type { HandlerPayload, HandlerRequest } from "../../../core/handler-request.ts";
import type { JobDraft } from "../../../core/job.ts";
import { namesOf } from "../../../core/names.ts";
import { handlerPayload } from "../../../core/handler-request.ts";
import type { RunState } from "../../../core/run.ts";
import type { LeasedJob } from "../../../store/contract/jobs.ts";
import type { OfferedJob } from "../../api.ts";
import type { AssignedJob } from "../assigned-job.ts";
import type { HandlerRun } from "../handler-runs.ts";
import { newHandlerToken } from "../job-token.ts";
import { offeredChars } from "../../offered-chars.ts";
import { givenHandler } from "../kept-vars.ts";
import { leaseToken } from "../pool.ts";
import { deliveryBy, type Session } from "../session.ts";
import type { DispatchState } from "./state.ts";
import { jsonText } from "../../../core/json/json-text.ts";

/** What a worker gets with a job: JSON text, or what a handler sees. */
type Payload = string | HandlerPayload;

/** The payload of a leased job. A handler's is the names that it sees at this moment: it is never stored. */
export function payloadOf(state: DispatchState, { kind, payload }: JobDraft | LeasedJob, run: RunState): Payload {
  if (kind !== "handler") return jsonText(payload);
  return handlerPayload(namesOf(run, state.pool.context.clock.now()));
}

/** Offers a job that is leased to the session. Returns the number of characters sent. */
export function offerJob(
  state: DispatchState,
  session: Session,
  queue: string,
  job: LeasedJob,
  payload: Payload,
): number {
  const delivery = deliveryBy(session, job);
  const isAtMostOnce = delivery === "at_most_once";
  const token = leaseToken(state.pool, job, isAtMostOnce);
  const { tenantId, runId, idempotencyKey, leaseNo, attempt, timeoutMs, heartbeatTimeoutMs, kind, name } = job;
  const assigned = state.leases.assign(session, {
    token,
    run: { tenantId, runId },
    queue,
    idempotencyKey,
    attempt,
    isAtMostOnce,
    lease: { tenantId, idempotencyKey, leaseNo },
    timeoutMs,
    ...(heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs }),
  });
  const { workflowId, version, nodeId, sessionId, callId } = job;
  return sendOffer(state, session, assigned, payload, {
    token,
    kind,
    name,
    runId,
    workflowId,
    version,
    ...(sessionId === undefined ? {} : { sessionId }),
    nodeId,
    ...(callId === undefined ? {} : { callId }),
    idempotencyKey,
    attempt,
    leaseNumber: leaseNo,
    timeoutMs,
    ...(heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs }),
    delivery,
  });
}

/** Offers a handler that has no job row. */
export function offerHandler(state: DispatchState, session: Session, handlerRun: HandlerRun): void {
  const { request, queue } = handlerRun;
  const { tenantId, runId, idempotencyKey, timeoutMs, heartbeatTimeoutMs } = request;
  const token = newHandlerToken();
  const assigned = state.leases.assign(session, {
    token,
    run: { tenantId, runId },
    queue,
    idempotencyKey,
    attempt: 1,
    isAtMostOnce: false,
    handlerRun,
    timeoutMs,
    ...(heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs }),
  });
  sendOffer(state, session, assigned, request.payload, { token, ...handlerFacts(request) });
}

function handlerFacts(request: HandlerRequest): Omit<OfferedJob, "token" | "payload"> {
  const { workflowId, runId, version, sessionId, nodeId, idempotencyKey } = request;
  const { timeoutMs, heartbeatTimeoutMs } = request;
  return {
    kind: "handler",
    name: workflowId,
    runId,
    workflowId,
    version,
    ...(sessionId === undefined ? {} : { sessionId }),
    nodeId,
    idempotencyKey,
    attempt: 1,
    leaseNumber: 1,
    timeoutMs,
    ...(heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs }),
    delivery: "at_least_once",
  };
}

/** Returns the number of characters sent. */
function sendOffer(
  state: DispatchState,
  session: Session,
  assigned: AssignedJob,
  payload: Payload,
  facts: Omit<OfferedJob, "payload">,
): number {
  const { link, keptVars } = session;
  // The session broke off after its lease was committed: the job goes to another worker.
  if (link === undefined) {
    state.leases.giveBack(session, assigned);
    return 0;
  }
  // From here on, the vars that the worker keeps count as sent: no other offer may come in between.
  const content = typeof payload === "string" ? { payload } : givenHandler(facts.runId, payload, keptVars);
  const job = { ...facts, ...content };
  link.send({ type: "offer", jobs: [job] });
  return offeredChars(job);
}
