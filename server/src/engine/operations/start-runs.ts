import { DomainError } from "../../core/errors.ts";
import type { ActorStart, Caller, RunView } from "../api.ts";
import { startRun } from "./start-run.ts";

/** Starts several runs independently. @returns for each start its run, or why it was refused */
export async function startRuns(
  parts: Parameters<typeof startRun>[0],
  caller: Caller,
  starts: readonly ActorStart[],
): Promise<(RunView | DomainError)[]> {
  return await Promise.all(
    starts.map(({ request, ...actor }) =>
      startRun(parts, { ...caller, ...actor }, request).catch((error: unknown) => {
        if (error instanceof DomainError) return error;
        throw error;
      }),
    ),
  );
}
