import type { Logger } from "pino";
import { StoreUnavailableError } from "../store/contract/errors.ts";

/** Logs what failed in the background. Not that the database is away: that is waited for, and said by who looks after it. */
export function reportFailure(log: Logger, what: string): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof StoreUnavailableError)) log.error({ err: error }, what);
  };
}
