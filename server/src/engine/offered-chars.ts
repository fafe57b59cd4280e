/** The size of an offer. The dispatcher shares offers among workers by it, and rpc bounds what waits to be sent. */
import type { OfferedJob } from "./api.ts";

/** The number of characters of a job's payload and vars that are sent. */
export function offeredChars({ payload, largeVars = [] }: OfferedJob): number {
  return largeVars.reduce((sum, { name, text = "" }) => sum + name.length + text.length, payload.length);
}
