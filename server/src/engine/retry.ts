/**
 * What is worth trying again, and when. Failures of this server or its database say nothing about a run: whoever moves
 * runs in the background tries again, and whoever was asked by a client tells it to ask again.
 */
import { DomainError, type ErrorReason } from "../core/errors.ts";
import { pause } from "./pause.ts";

/** Pauses between attempts while the database is away or others keep changing the run; the last one repeats. */
const RETRY_PAUSES_MS = [50, 200, 500, 1_000, 2_000];

const UNAVAILABLE: ReadonlySet<ErrorReason> = new Set(["DATABASE_UNAVAILABLE", "SHUTTING_DOWN"]);
const TRANSIENT: ReadonlySet<ErrorReason> = new Set([...UNAVAILABLE, "TRANSITION_CONFLICT", "OVERLOADED"]);

/** Thrown when the run has a different owner: only that server may compute on it. */
export class OwnedElsewhereError extends Error {}

/**
 * Whether this server or its database cannot work at all now. Not worth a line in the log: whoever watches them
 * writes one.
 */
export function isUnavailable(error: unknown): boolean {
  return error instanceof DomainError && UNAVAILABLE.has(error.reason);
}

/** Whether the same may succeed a moment later: something stood in the way that says nothing about the run itself. */
export function isTransient(error: unknown): boolean {
  return error instanceof DomainError && TRANSIENT.has(error.reason);
}

/**
 * Whether there is nothing left to do for the run here: another server computes on it and checks for itself, or it was
 * deleted.
 */
export function isGone(error: unknown): boolean {
  return error instanceof OwnedElsewhereError || (error instanceof DomainError && error.reason === "RUN_UNKNOWN");
}

/**
 * Attempts something until it is done or the server stops, with a pause before each further attempt.
 * @param attempt says whether it is done, or nothing is left to do
 */
export async function retryUntilDone(isStopping: () => boolean, attempt: () => Promise<boolean>): Promise<void> {
  for (let attempts = 0; !isStopping(); attempts++) {
    if (await attempt()) return;
    await pause(RETRY_PAUSES_MS[Math.min(attempts, RETRY_PAUSES_MS.length - 1)]!);
  }
}
