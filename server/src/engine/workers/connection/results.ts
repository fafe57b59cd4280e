/** Takes results by their tokens, whichever worker sends them. Each is acknowledged after its commit. */
import { DomainError, type ErrorReason } from "../../../core/errors.ts";
import type { CallEnd } from "../../../core/settle-calls.ts";
import type { JobKey } from "../../../store/contract/jobs.ts";
import type { JobResult, JobResultAck } from "../../api.ts";
import { queueFromText } from "../job-queue.ts";
import { isHandlerToken, type JobToken, readJobToken } from "../job-token.ts";
import type { Session } from "../session.ts";
import type { WorkerParts } from "./parts.ts";
import { digestOf, readOutcome } from "./result-outcome.ts";

export function takeResult(parts: WorkerParts, session: Session, result: JobResult): void {
  if (isHandlerToken(result.token)) {
    takeHandlerResult(parts, session, result);
    return;
  }
  const token = readJobToken(parts.pool.context.store.tokenKey, session.tenantId, result.token);
  if (token === undefined) acknowledge(session, result, { status: "refused", reason: "JOB_UNKNOWN" });
  else settleJob(parts, session, result, token);
}

function acknowledge(session: Session, { token }: JobResult, ack: Omit<JobResultAck, "token">): void {
  session.link?.send({ type: "result_ack", acks: [{ token, ...ack }] });
}

/** The result of a handler that has no job row. */
function takeHandlerResult({ pool, leases, handlerRuns }: WorkerParts, session: Session, result: JobResult): void {
  const entry = pool.jobs.get(result.token);
  // Another tenant's job is as unknown as one that is gone.
  const job = entry?.session.tenantId === session.tenantId ? leases.take(result.token) : undefined;
  const handlerRun = job?.handlerRun;
  if (handlerRun === undefined) {
    acknowledge(session, result, { status: "refused", reason: "JOB_LEASE_LOST" });
    return;
  }
  handlerRun.onTaken = (counts) =>
    acknowledge(session, result, counts ? { status: "accepted" } : { status: "refused", reason: "JOB_CANCELLED" });
  const outcome = readOutcome(result, true);
  const actor = actorOf(session);
  handlerRuns.finish(
    handlerRun,
    "output" in outcome
      ? { type: "plan", output: outcome.output, ...actor }
      : { type: "failed", failure: outcome.failure, random: Math.random(), ...actor },
  );
}

/** The result of a job that has a row. */
function settleJob(parts: WorkerParts, session: Session, result: JobResult, token: JobToken): void {
  const { pool, leases, settler } = parts;
  const { tenantId, runId, idempotencyKey, attempt, leaseNo, isAtMostOnce } = token;
  pool.settling.add(result.token);
  // Unknown if the job was leased by another server.
  const queue = pool.jobs.get(result.token)?.job.queue;
  const outcome = readOutcome(result, queue !== undefined && queueFromText(queue).kind === "handler");
  const end: CallEnd = {
    idempotencyKey,
    attempt,
    isAtMostOnce,
    outcome,
    random: Math.random(),
    ...actorOf(session),
  };
  settler.settle(
    { tenantId, runId },
    {
      end,
      leaseNo,
      digest: digestOf(result),
      onSettled(status) {
        pool.settling.delete(result.token);
        acknowledge(session, result, status);
        if (status.status === "refused") noteRefusal(parts, { tenantId, idempotencyKey }, result, status.reason);
      },
    },
  );
  // Only after the settler has its own interest in the run: this job may have been the last one.
  leases.take(result.token);
}

/** Stores the refused result in the job's row, in the background. */
function noteRefusal({ pool }: WorkerParts, key: JobKey, result: JobResult, reason: ErrorReason): void {
  const { store, log } = pool.context;
  const output = JSON.stringify(result.outcome);
  store.jobs.noteRefusedResult(key, { reason, output }).catch((error: unknown) => {
    if (!(error instanceof DomainError)) log.error({ err: error }, "storing a refused result failed");
  });
}

function actorOf({ hello: { actorId } }: Session): { actorId?: string } {
  return actorId === undefined ? {} : { actorId };
}
