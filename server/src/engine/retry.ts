/**
 * What is worth a retry, and when. A failure of this server or its database says nothing about a run. Background work
 * retries by itself; a client gets an error that asks it to retry.
 */
import { DomainError, type ErrorReason } from "../core/errors.ts";
import { pause } from "./pause.ts";

/** Pauses between attempts while the database is unavailable or others keep changing the run; the last one repeats. */
const RETRY_PAUSES_MS = [50, 200, 500, 1_000, 2_000];

const UNAVAILABLE: ReadonlySet<ErrorReason> = new Set([
  "DATABASE_UNAVAILABLE",
  // Says nothing about a run either: it goes on when an operator has mended the database.
  "DATABASE_MISCONFIGURED",
  "SHUTTING_DOWN",
]);
const TRANSIENT: ReadonlySet<ErrorReason> = new Set([...UNAVAILABLE, "TRANSITION_CONFLICT", "OVERLOADED"]);

/** Thrown if another server owns the run: only the owner may compute it. */
export class OwnedElsewhereError extends Error {}

/**
 * Whether this server or its database cannot work at all now. That is not logged here: the part that watches them logs
 * it.
 */
export function isUnavailable(error: unknown): boolean {
  return error instanceof DomainError && UNAVAILABLE.has(error.reason);
}

/** Whether the same attempt may succeed a moment later: the obstacle says nothing about the run itself. */
export function isTransient(error: unknown): boolean {
  return error instanceof DomainError && TRANSIENT.has(error.reason);
}

/**
 * Whether this server has nothing more to do for the run: another server computes it and checks by itself, or the run
 * was deleted.
 */
export function isGone(error: unknown): boolean {
  return error instanceof OwnedElsewhereError || (error instanceof DomainError && error.reason === "RUN_UNKNOWN");
}

/**
 * Attempts something until it is done or the server stops, with a pause before each further attempt.
 * @param attempt returns whether it is done, or nothing is left to do
 */
export async function retryUntilDone(isStopping: () => boolean, attempt: () => Promise<boolean>): Promise<void> {
  for (let attempts = 0; !isStopping(); attempts++) {
    if (await attempt()) return;
    await pause(RETRY_PAUSES_MS[Math.min(attempts, RETRY_PAUSES_MS.length - 1)]!);
  }
}
