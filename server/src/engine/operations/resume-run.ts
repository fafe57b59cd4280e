import type { RecordBody } from "../../core/records.ts";
import { apply } from "../../core/fold/fold.ts";
import { DomainError } from "../../core/errors.ts";
import { canonicalJson } from "../../core/json/json.ts";
import type { RunState } from "../../core/run.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import type { StoredWait } from "../../store/contract/waits.ts";
import { RUN_FORMAT } from "../../store/run-format.ts";
import type { Caller, ResumeRequest, RunView } from "../api.ts";
import { actorOf } from "../caller.ts";
import type { Store } from "../../store/contract/store.ts";
import type { Essentials } from "../essentials.ts";
import { readLedger } from "../read-ledger.ts";
import { OwnedElsewhereError } from "../retry.ts";
import type { RunViewer } from "../run-view.ts";
import { performExclusive, type TransitionParts } from "../transition/perform.ts";

type Parts = Pick<Essentials, "store"> & { transitions: TransitionParts; viewOf: RunViewer };

/**
 * Answers a wait. A repeat with the same request id returns the same reply, rebuilt from the ledger.
 * @throws {DomainError} RUN_UNKNOWN, RUN_NOT_WAITING, WAIT_UNKNOWN, WAIT_ALREADY_ANSWERED, WAIT_NOT_ANSWERABLE,
 * ANSWER_INVALID
 */
export async function resumeRun(parts: Parts, caller: Caller, request: ResumeRequest): Promise<RunView> {
  const { transitions, store, viewOf } = parts;
  const { runId, ...answer } = { ...request, ...actorOf(caller) };
  const key: RunKey = { tenantId: caller.tenantId, runId };
  try {
    const { run } = await performExclusive(transitions, key, (now) => ({ ...answer, type: "answer", now }), {
      deadline: caller.deadline,
    });
    return viewOf(run);
  } catch (error) {
    // A run that another server computes has no open wait.
    const refusal = error instanceof OwnedElsewhereError ? runNotWaiting(request) : error;
    const isOther =
      refusal instanceof DomainError && (refusal.reason === "RUN_NOT_WAITING" || refusal.reason === "WAIT_UNKNOWN");
    if (!isOther) throw refusal;
    const wait = await store.waits.get(caller.tenantId, request.waitId);
    if (wait === undefined || wait.runId !== runId || wait.closing === undefined) throw refusal;
    return viewOf(await replyAgain(store, key, request, wait));
  }
}

function runNotWaiting({ runId, waitId }: ResumeRequest): DomainError {
  const metadata = { run_id: runId, wait_id: waitId };
  return new DomainError("RUN_NOT_WAITING", `Run ${runId} is not waiting.`, { metadata });
}

async function replyAgain(store: Store, key: RunKey, request: ResumeRequest, wait: StoredWait): Promise<StoredRun> {
  const closing = wait.closing!;
  const metadata = { run_id: key.runId, wait_id: request.waitId, closed_by: closing.by, close_time: closing.closeTime };
  if (closing.by !== "answer") {
    throw new DomainError("RUN_NOT_WAITING", `Wait ${request.waitId} has ended (${closing.by}).`, { metadata });
  }
  const answered = new DomainError("WAIT_ALREADY_ANSWERED", `Wait ${request.waitId} has been answered already.`, {
    metadata,
  });
  if (request.requestId === undefined || closing.requestId !== request.requestId) throw answered;
  let state: RunState | undefined;
  let isSame = false;
  for await (const draft of readLedger(store, key, closing.runSeq)) {
    state = apply(state, draft);
    const { request_id: requestId }: RecordBody = draft.body;
    if (requestId === request.requestId) isSame = draft.given === canonicalJson(request.payload);
  }
  if (state === undefined || !isSame) throw answered;
  return { state, headHash: "", requestDigest: "", format: RUN_FORMAT };
}
