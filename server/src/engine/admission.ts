/** Refuses new runs before the server is overloaded, so that answers, events and timers still get through. */
import { DomainError } from "../core/errors.ts";

/**
 * Bytes of the requests whose runs are being started. Each is in memory several times: decoded, as text, sealed, as a
 * row.
 */
const START_BYTES_MAX = 64 * 1024 * 1024;
const RETRY_AFTER_MS = 1_000;

export type Admission = {
  /** Runs `work`, a start whose request takes `bytes`. @throws {DomainError} OVERLOADED if too much is under way */
  admit<T>(bytes: number, work: () => Promise<T>): Promise<T>;
};

/** @param pending the number of items that wait to be committed; new starts are refused from `pendingMax` on */
export function createAdmission(pending: () => number, pendingMax: number): Admission {
  let bytesUnderWay = 0;
  return {
    async admit(bytes, work) {
      // One start is always admitted, however large.
      const isFull = bytesUnderWay > 0 && bytesUnderWay + bytes > START_BYTES_MAX;
      if (isFull || pending() >= pendingMax) {
        const message = "The server has too many starts under way; try again later.";
        throw new DomainError("OVERLOADED", message, { retryAfterMs: RETRY_AFTER_MS });
      }
      bytesUnderWay += bytes;
      try {
        return await work();
      } finally {
        bytesUnderWay -= bytes;
      }
    },
  };
}
