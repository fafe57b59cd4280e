/** The ledger: step records, which are authoritative. */
import type { SealedRecord } from "../../core/ledger-format.ts";
import type { RunKey } from "./runs.ts";

export interface LedgerStore {
  list(key: RunKey, afterSeq: number, limit: number): Promise<SealedRecord[]>;
}
