import { DomainError } from "../../core/errors.ts";
import { type Instant, maxInstant } from "../../core/duration.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import { reportDamage } from "../report-damage.ts";
import { isGone, isTransient } from "../retry.ts";
import { type Performed, performExclusive, type TransitionParts } from "../transition/perform.ts";
import { failRun } from "./fail-run.ts";

/**
 * Makes a run check what may be due for it: its deadline, its wait, an event. Returns what was done, or undefined if
 * there was nothing to do. "missed": it could not check now, and must be woken again.
 * @param claimedAt when the database called the run due: it stays due, although this server's clock may differ
 */
export async function wake(
  parts: TransitionParts,
  key: RunKey,
  claimedAt?: Instant,
): Promise<Performed | "missed" | undefined> {
  try {
    return await performExclusive(parts, key, (now) => ({
      type: "wake",
      now: claimedAt === undefined ? now : maxInstant(now, claimedAt),
    }));
  } catch (error) {
    // A run that another server computes checks by itself when it reaches a wait; a deleted run never will.
    if (isGone(error)) return undefined;
    // Only repaired data can change that. The run is woken again, which costs one read.
    if (reportDamage(parts.log, error)) return "missed";
    const isRefusal = error instanceof DomainError && error.reason !== "TRANSITION_REJECTED";
    if (!isRefusal) return await failWoken(parts, key, error);
    // It is logged if others kept changing the run, and so is a refusal, which no wake should get.
    if (!isTransient(error) || error.reason === "TRANSITION_CONFLICT") {
      parts.log.warn({ err: error, runId: key.runId }, "waking a run failed; trying again");
    }
    return "missed";
  }
}

/** If the database or core refuses the wake, it will refuse it again: the run is failed instead of waiting for ever. */
async function failWoken(parts: TransitionParts, key: RunKey, cause: unknown): Promise<"missed" | undefined> {
  try {
    const isFailed = await parts.runs.exclusive(key, () => failRun(parts, key, cause));
    return isFailed ? undefined : "missed";
  } catch {
    return "missed";
  }
}
