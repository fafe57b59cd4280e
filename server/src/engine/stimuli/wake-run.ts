import { DomainError } from "../../core/errors.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import { isGone, isTransient } from "../retry.ts";
import { type Performed, performExclusive, type TransitionParts } from "../transition/perform.ts";
import { failRun } from "./fail-run.ts";

/**
 * Has a run check what may be due for it: its deadline, its wait, an event. Returns what was done, or undefined where
 * nothing was to do. "missed": it could not check now, and must be woken again.
 */
export async function wake(parts: TransitionParts, key: RunKey): Promise<Performed | "missed" | undefined> {
  try {
    return await performExclusive(parts, key, (now) => ({ type: "wake", now }));
  } catch (error) {
    // A run that another server computes on checks for itself when it comes to a wait; one that is gone never will.
    if (isGone(error)) return undefined;
    const isRefusal = error instanceof DomainError && error.reason !== "TRANSITION_REJECTED";
    if (!isRefusal) return await failWoken(parts, key, error);
    // Others who kept changing the run are worth a line, and so is a refusal that no wake should meet.
    if (!isTransient(error) || error.reason === "TRANSITION_CONFLICT") {
      parts.log.warn({ err: error, runId: key.runId }, "a run could not be woken; it is tried again");
    }
    return "missed";
  }
}

/**
 * What the database refuses, or core cannot decide, is so the next time too: the run is failed instead of waiting for
 * ever.
 */
async function failWoken(parts: TransitionParts, key: RunKey, cause: unknown): Promise<"missed" | undefined> {
  try {
    const isFailed = await parts.runs.exclusive(key, () => failRun(parts, key, cause));
    return isFailed ? undefined : "missed";
  } catch {
    return "missed";
  }
}
