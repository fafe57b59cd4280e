import { DomainError } from "../../core/errors.ts";
import type { Failure } from "../../core/failure.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import { reportDamage } from "../report-damage.ts";
import { perform, type TransitionParts } from "../transition/perform.ts";

/** Fails a run that cannot go on, so that it does not stop unnoticed. Returns whether the failure was committed. */
export async function failRun(parts: TransitionParts, key: RunKey, cause: unknown): Promise<boolean> {
  const { log } = parts;
  const { runId } = key;
  const isRejected = cause instanceof DomainError && cause.reason === "TRANSITION_REJECTED";
  const failure: Failure = isRejected
    ? { code: "STORE_REJECTED", message: "The database refused to store the run's next step.", retryable: false }
    : { code: "INTERNAL", message: "The server failed to compute the run's next step.", retryable: false };
  log.error({ err: cause, runId }, "failing a run because its next step cannot be taken");
  try {
    await perform(parts, key, (now) => ({ type: "fail", now, failure }), { runAhead: false });
    return true;
  } catch (error) {
    if (!reportDamage(log, error))
      log.error({ err: error, runId }, "storing the failure of a run failed; trying again");
    return false;
  }
}
