/** Computing on active runs, in the background, until they park or end. */
import { DomainError, type ErrorReason } from "../../core/errors.ts";
import type { Failure } from "../../core/failure.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { EngineContext } from "../context.ts";
import { advancing, OwnedElsewhereError, perform } from "../transition/perform.ts";
import { pause } from "../pause.ts";
import { type RunEntry, runKeyText } from "../run-table.ts";

/** Pauses between attempts while the database is away or others keep changing the run; the last one repeats. */
const RETRY_PAUSES_MS = [50, 200, 500, 1_000, 2_000];

/** Runs whose next transition was asked for and has not begun. */
export type AdvanceQueue = Set<string>;

/**
 * Takes the run forward by one transition; each commit asks for the next one (see `settle` in perform.ts). Asked twice
 * before it has begun, it is done once: a run that is claimed again does not get a second life.
 */
export function advanceRun(context: EngineContext, queue: AdvanceQueue, key: RunKey): void {
  const text = runKeyText(key);
  if (queue.has(text)) return;
  queue.add(text);
  const begin = (entry: RunEntry) => {
    queue.delete(text);
    return advanceOnce(context, entry);
  };
  void advanceUntilDone(context, key, begin).catch((error: unknown) => {
    queue.delete(text);
    context.log.error({ err: error, runId: key.runId }, "a run could not be advanced");
  });
}

async function advanceUntilDone(
  context: EngineContext,
  key: RunKey,
  step: (entry: RunEntry) => Promise<boolean>,
): Promise<void> {
  for (let attempt = 0; !context.isStopping(); attempt++) {
    // Between attempts others get the run: who asks something of it is told that the database is away instead of waiting.
    if (await context.runs.exclusiveAlways(key, step)) return;
    await pause(RETRY_PAUSES_MS[Math.min(attempt, RETRY_PAUSES_MS.length - 1)]!);
  }
}

/** What says nothing about the run itself: the step is tried again. */
const TRANSIENT: ReadonlySet<ErrorReason> = new Set(["DATABASE_UNAVAILABLE", "TRANSITION_CONFLICT", "SHUTTING_DOWN"]);

/** Says whether nothing is left to do: the step was made, or is somebody else's, or the run was failed. */
async function advanceOnce(context: EngineContext, entry: RunEntry): Promise<boolean> {
  try {
    await perform(context, entry, advancing);
    return true;
  } catch (error) {
    delete entry.state;
    // Another server has the run, and it goes on there; or it is gone.
    const isUnknown = error instanceof DomainError && error.reason === "RUN_UNKNOWN";
    if (error instanceof OwnedElsewhereError || isUnknown) {
      context.workers.abandonHandlers(entry.key, 0);
      return true;
    }
    if (error instanceof DomainError && TRANSIENT.has(error.reason)) return false;
    return await failRun(context, entry, error);
  }
}

/** Fails a run that cannot go on, so that it does not stand still unseen. Says whether that was committed. */
export async function failRun(context: EngineContext, entry: RunEntry, cause: unknown): Promise<boolean> {
  const isRejected = cause instanceof DomainError && cause.reason === "TRANSITION_REJECTED";
  const failure: Failure = isRejected
    ? { code: "STORE_REJECTED", message: "The database refuses to store the run's next step.", retryable: false }
    : { code: "INTERNAL", message: "The server failed to compute the run's next step.", retryable: false };
  context.log.error({ err: cause, runId: entry.key.runId }, "a run is failed because its next step cannot be made");
  try {
    await perform(context, entry, (now) => ({ type: "fail", now, failure }), { runAhead: false });
    return true;
  } catch (error) {
    context.log.error({ err: error, runId: entry.key.runId }, "the failure of a run could not be stored; trying again");
    return false;
  }
}
