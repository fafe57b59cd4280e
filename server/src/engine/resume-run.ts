import { fold } from "../core/apply.ts";
import { DomainError } from "../core/errors.ts";
import { canonicalJson, type Json } from "../core/json.ts";
import { draftFromSealed } from "../core/ledger-format.ts";
import type { StepRecordDraft } from "../core/step-record.ts";
import type { RunKey, StoredRun, StoredWait } from "../store/contract.ts";
import type { Caller, RunView } from "./api.ts";
import { RUN_FORMAT } from "./build-transition.ts";
import { type EngineContext, viewOf } from "./context.ts";
import { OwnedElsewhereError, perform } from "./perform.ts";

export type ResumeRequest = { runId: string; waitId: string; payload: Json; requestId?: string; actorId?: string };

/** Records read at once while a reply is made again. */
const RECORDS_PAGE = 1_000;

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
    return viewOf(run);
  } catch (error) {
    // A run that another server computes on waits for nothing.
    const refusal = error instanceof OwnedElsewhereError ? runNotWaiting(request) : error;
    const isOther =
      refusal instanceof DomainError && (refusal.reason === "RUN_NOT_WAITING" || refusal.reason === "WAIT_UNKNOWN");
    if (!isOther) throw refusal;
    const wait = await context.store.getWait(caller.tenantId, request.waitId);
    if (wait === undefined || wait.runId !== runId || wait.closing === undefined) throw refusal;
    return viewOf(await replyAgain(context, key, request, wait));
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
  const drafts = await readLedger(context, key, closing.runSeq);
  const answer = drafts.findLast(({ body }) => body.request_id === request.requestId);
  if (answer?.given !== canonicalJson(request.payload)) throw answered;
  return { state: fold(drafts)!, headHash: "", requestDigest: "", format: RUN_FORMAT };
}

async function readLedger(context: EngineContext, key: RunKey, untilSeq: number): Promise<StepRecordDraft[]> {
  const drafts: StepRecordDraft[] = [];
  while (drafts.length < untilSeq) {
    const limit = Math.min(RECORDS_PAGE, untilSeq - drafts.length);
    const records = await context.store.listStepRecords(key, drafts.length, limit);
    if (records.length === 0) break;
    drafts.push(...records.map(draftFromSealed));
  }
  return drafts;
}
