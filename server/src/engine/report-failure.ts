import type { Logger } from "pino";
import { reportDamage } from "./report-damage.ts";
import { isUnavailable } from "./retry.ts";

/**
 * Logs a failure in the background, unless this server or its database is unavailable: the part that retries logs that.
 */
export function reportFailure(log: Logger, what: string): (error: unknown) => void {
  return (error) => {
    if (!isUnavailable(error) && !reportDamage(log, error)) log.error({ err: error }, what);
  };
}
