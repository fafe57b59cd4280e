import { openRecord, type SealedRecord } from "../core/ledger-format.ts";
import type { RunKey } from "../store/contract/runs.ts";
import type { StepRecordView } from "./api.ts";

/** What a caller sees of a record: its proof as it is stored, and of its contents what can be read. */
export function stepRecordView({ tenantId, runId }: RunKey, sealed: SealedRecord): StepRecordView {
  const opened = openRecord(sealed);
  const { header, damaged } = opened;
  const isOther = header !== undefined && (header.tenant_id !== tenantId || header.run_id !== runId);
  // A record of another run is whole, and still not this run's.
  return { runId, sealed, opened: isOther ? { damaged: ["header", ...damaged] } : opened };
}
