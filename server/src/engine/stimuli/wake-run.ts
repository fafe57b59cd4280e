import { DomainError } from "../../core/errors.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import { failRun } from "./advance-run.ts";
import type { EngineContext } from "../context.ts";
import { OwnedElsewhereError, perform, type Performed } from "../transition/perform.ts";

/**
 * Has a run look at what may be due for it: its deadline, its wait, an event. Gives what was done, or undefined where
 * nothing was to do. "missed": it could not look now, and must be woken again.
 */
export async function wake(context: EngineContext, key: RunKey): Promise<Performed | "missed" | undefined> {
  try {
    return await context.runs.exclusive(key, (entry) => perform(context, entry, (now) => ({ type: "wake", now })));
  } catch (error) {
    // A run that another server computes on looks for itself when it comes to a wait; one that is gone never will.
    if (error instanceof OwnedElsewhereError) return undefined;
    if (error instanceof DomainError && error.reason === "RUN_UNKNOWN") return undefined;
    if (error instanceof DomainError && error.reason !== "TRANSITION_REJECTED") {
      const isExpected = ["DATABASE_UNAVAILABLE", "SHUTTING_DOWN", "OVERLOADED"].includes(error.reason);
      if (!isExpected)
        context.log.warn({ err: error, runId: key.runId }, "a run could not be woken; it is tried again");
      return "missed";
    }
    return await failWoken(context, key, error);
  }
}

/** What the database refuses, or core cannot decide, is so the next time too: the run is failed instead of waiting for ever. */
async function failWoken(context: EngineContext, key: RunKey, cause: unknown): Promise<"missed" | undefined> {
  try {
    const isFailed = await context.runs.exclusive(key, (entry) => failRun(context, entry, cause));
    return isFailed ? undefined : "missed";
  } catch {
    return "missed";
  }
}
