import { apply } from "../../core/apply.ts";
import { DomainError } from "../../core/errors.ts";
import { canonicalJson, type Json } from "../../core/json.ts";
import { draftFromSealed } from "../../core/ledger-format.ts";
import type { RunState } from "../../core/run.ts";
import type { StepRecordDraft } from "../../core/step-record.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import type { StoredWait } from "../../store/contract/waits.ts";
import type { Caller, RunView } from "../api.ts";
import { RUN_FORMAT } from "../../store/run-format.ts";
import { type EngineContext, viewOf } from "../context.ts";
import { OwnedElsewhereError, perform } from "../transition/perform.ts";

export type ResumeRequest = { runId: string; waitId: string; payload: Json; requestId?: string; actorId?: string };

/** Records read at once while a reply is made again. */
const RECORDS_PAGE = 25;

/**
 * Answers a wait. The same request id again gives the same reply, made again from the ledger.
 * @throws {DomainError} RUN_UNKNOWN, RUN_NOT_WAITING, WAIT_UNKNOWN, WAIT_ALREADY_ANSWERED, WAIT_NOT_ANSWERABLE, ANSWER_INVALID
 */
export async function resumeRun(context: EngineContext, caller: Caller, request: ResumeRequest): Promise<RunView> {
  const { runId, ...answer } = request;
  const key: RunKey = { tenantId: caller.tenantId, runId };
  try {
    const { run } = await context.runs.exclusive(key, (entry) =>
      perform(context, entry, (now) => ({ ...answer, type: "answer", now })),
    );
    return viewOf(context, run);
  } catch (error) {
    // A run that another server computes on waits for nothing.
    const refusal = error instanceof OwnedElsewhereError ? runNotWaiting(request) : error;
    const isOther =
      refusal instanceof DomainError && (refusal.reason === "RUN_NOT_WAITING" || refusal.reason === "WAIT_UNKNOWN");
    if (!isOther) throw refusal;
    const wait = await context.store.waits.get(caller.tenantId, request.waitId);
    if (wait === undefined || wait.runId !== runId || wait.closing === undefined) throw refusal;
    return viewOf(context, await replyAgain(context, key, request, wait));
  }
}

function runNotWaiting({ runId, waitId }: ResumeRequest): DomainError {
  const metadata = { run_id: runId, wait_id: waitId };
  return new DomainError("RUN_NOT_WAITING", `Run ${runId} is not waiting.`, { metadata });
}

async function replyAgain(
  context: EngineContext,
  key: RunKey,
  request: ResumeRequest,
  wait: StoredWait,
): Promise<StoredRun> {
  const closing = wait.closing!;
  const metadata = { run_id: key.runId, wait_id: request.waitId, closed_by: closing.by, close_time: closing.closeTime };
  if (closing.by !== "answer") {
    throw new DomainError("RUN_NOT_WAITING", `Wait ${request.waitId} has ended by ${closing.by}.`, { metadata });
  }
  const answered = new DomainError("WAIT_ALREADY_ANSWERED", `Wait ${request.waitId} was answered already.`, {
    metadata,
  });
  if (request.requestId === undefined || closing.requestId !== request.requestId) throw answered;
  let state: RunState | undefined;
  let isSame = false;
  for await (const draft of readLedger(context, key, closing.runSeq)) {
    state = apply(state, draft);
    if (draft.body.request_id === request.requestId) isSame = draft.given === canonicalJson(request.payload);
  }
  if (state === undefined || !isSame) throw answered;
  return { state, headHash: "", requestDigest: "", format: RUN_FORMAT };
}

/** The records of a run up to a seq, a few at a time. */
async function* readLedger(context: EngineContext, key: RunKey, untilSeq: number): AsyncGenerator<StepRecordDraft> {
  for (let seq = 0; seq < untilSeq;) {
    const records = await context.store.ledger.list(key, seq, Math.min(RECORDS_PAGE, untilSeq - seq));
    if (records.length === 0) return;
    for (const record of records) yield draftFromSealed(record);
    seq = records.at(-1)!.seq;
  }
}
