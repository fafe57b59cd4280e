/** The ledger, read. */
import type { SealedRecord } from "../../core/ledger-format.ts";
import type { RunKey } from "../contract/runs.ts";
import { type MemoryDatabase, rowKey } from "./database.ts";
import type { LedgerStore } from "../contract/ledger.ts";
import type { Statements } from "../map-verbs.ts";

function listStepRecords(
  database: MemoryDatabase,
  { tenantId, runId }: RunKey,
  afterSeq: number,
  limit: number,
): SealedRecord[] {
  const records = database.runs.get(rowKey(tenantId, runId))?.records ?? [];
  // Record n is at n - 1: a ledger is gapless.
  return records.slice(afterSeq, afterSeq + limit).map((record) => structuredClone(record));
}

export const ledger: Statements<MemoryDatabase, LedgerStore> = { list: listStepRecords };
