import { DomainError } from "../core/errors.ts";
import { type RunKey, StoreUnavailableError } from "../store/contract.ts";
import type { EngineContext } from "./context.ts";
import { OwnedElsewhereError, perform, type Performed } from "./perform.ts";

/**
 * Has a run look at what may be due for it: its deadline, its wait, an event. Gives what was done, or undefined where
 * nothing was, also when the database is away: timers, listeners and sweeps come again.
 */
export async function wake(context: EngineContext, key: RunKey): Promise<Performed | undefined> {
  try {
    return await context.runs.exclusive(key, (entry) => perform(context, entry, (now) => ({ type: "wake", now })));
  } catch (error) {
    if (error instanceof OwnedElsewhereError || error instanceof StoreUnavailableError) return undefined;
    if (error instanceof DomainError) {
      const isExpected = ["RUN_UNKNOWN", "DATABASE_UNAVAILABLE", "SHUTTING_DOWN", "OVERLOADED"].includes(error.reason);
      if (!isExpected) context.log.warn({ err: error, runId: key.runId }, "a run could not be woken; it is tried again");
      return undefined;
    }
    context.log.error({ err: error, runId: key.runId }, "waking a run failed");
    return undefined;
  }
}
