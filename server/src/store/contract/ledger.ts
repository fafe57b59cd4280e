/** The ledger: step records, which are authoritative. */
import type { SealedRecord } from "../../core/ledger-format.ts";
import type { RunKey } from "./runs.ts";

export interface LedgerStore {
  /**
   * Records after a seq, in order. The parts of each: `body`, `given` where it has one, then any others in the order in
   * which they were committed.
   */
  list(key: RunKey, afterSeq: number, limit: number): Promise<SealedRecord[]>;
}
