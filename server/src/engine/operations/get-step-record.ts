import { DomainError } from "../../core/errors.ts";
import type { Caller, StepRecordView } from "../api.ts";
import type { Essentials } from "../essentials.ts";
import type { Reads } from "../reads.ts";
import { runUnknown } from "../refusals.ts";
import { stepRecordView } from "../step-record-view.ts";

/** @throws {DomainError} RUN_UNKNOWN, STEP_RECORD_UNKNOWN */
export async function getStepRecord(
  { store, reads }: Pick<Essentials, "store"> & { reads: Pick<Reads, "loadRunHead"> },
  { tenantId }: Caller,
  runId: string,
  seq: number,
): Promise<StepRecordView> {
  const key = { tenantId, runId };
  const [sealed] = await store.ledger.list(key, seq - 1, 1);
  if (sealed?.seq === seq) return stepRecordView(key, sealed);
  if ((await reads.loadRunHead(key)) === undefined) throw runUnknown(runId);
  throw new DomainError("STEP_RECORD_UNKNOWN", `The ledger of run ${runId} has no record ${seq}.`, {
    metadata: { run_id: runId, seq: String(seq) },
  });
}
