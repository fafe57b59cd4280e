import { DomainError } from "../../core/errors.ts";
import type { Caller } from "../api.ts";
import type { Essentials } from "../essentials.ts";
import type { Reads } from "../reads.ts";
import { runUnknown } from "../refusals.ts";

/** Deletes a run that has ended, and its ledger. @throws {DomainError} RUN_UNKNOWN, RUN_NOT_ENDED */
export async function deleteRun(
  { store, reads }: Pick<Essentials, "store"> & { reads: Pick<Reads, "loadRunHead"> },
  { tenantId, deadline }: Caller,
  runId: string,
): Promise<void> {
  const key = { tenantId, runId };
  deadline?.noteSent();
  if (await store.runs.delete(key)) return;
  if ((await reads.loadRunHead(key)) === undefined) throw runUnknown(runId);
  throw new DomainError("RUN_NOT_ENDED", `Run ${runId} has not ended; cancel it first.`, {
    metadata: { run_id: runId },
  });
}
