/** The ledger: step records, which are authoritative. */
import type { SealedRecord } from "../../core/ledger-format.ts";
import type { RunKey } from "./runs.ts";

export interface LedgerStore {
  /**
   * Returns the records after a seq, in order. The parts of each are `body`, `given` if present, then any others in the
   * order in which they were committed.
   */
  list(key: RunKey, afterSeq: number, limit: number): Promise<SealedRecord[]>;
}
