/** New work is shed before the server drowns in it, so that answers, events and timers keep their room. */
import { DomainError } from "../core/errors.ts";

/** Bytes of requests whose runs are being started: each is held a few times over (decoded, as text, sealed, as a row). */
const START_BYTES_MAX = 64 * 1024 * 1024;
const RETRY_AFTER_MS = 1_000;

export type Admission = {
  /** Does `work`, a start whose request takes `bytes`, unless too much is under way. @throws {DomainError} OVERLOADED */
  admit<T>(bytes: number, work: () => Promise<T>): Promise<T>;
};

/** @param pending items that wait to be committed, of which there may be `pendingMax` */
export function createAdmission(pending: () => number, pendingMax: number): Admission {
  let bytesUnderWay = 0;
  return {
    async admit(bytes, work) {
      // One start is always let in, however large.
      const isFull = bytesUnderWay > 0 && bytesUnderWay + bytes > START_BYTES_MAX;
      if (isFull || pending() >= pendingMax) {
        const message = "The server has more starts under way than it can hold; start runs later.";
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
