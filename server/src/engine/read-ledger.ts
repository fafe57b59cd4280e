import { DamageError } from "../core/damage.ts";
import { draftFromSealed } from "../core/ledger-format.ts";
import type { StepRecordDraft } from "../core/records.ts";
import type { RunKey } from "../store/contract/runs.ts";
import type { Store } from "../store/contract/store.ts";

/** Records in the first read; each may have payloads of 1 MiB. */
const PAGE_MIN = 25;
/** The most records in one read: 100 MiB if each of them has 1 MiB although none before them did. */
const PAGE_MAX = 100;
/** The characters that a page should have: most records are small, and larger pages save round trips. */
const PAGE_CHARS = 4 * 1024 * 1024;

/** Yields the records of a run up to `untilSeq`, in order, a page at a time. Ends early if the ledger does.
 *  @throws {DomainError} DATA_DAMAGED */
export async function* readLedger(store: Store, key: RunKey, untilSeq: number): AsyncGenerator<StepRecordDraft> {
  let page = PAGE_MIN;
  for (let seq = 0; seq < untilSeq;) {
    const records = await store.ledger.list(key, seq, Math.min(page, untilSeq - seq));
    if (records.length === 0) return;
    let chars = 0;
    for (const record of records) {
      chars += record.parts.reduce((sum, { text }) => sum + text.length, record.header.length);
      const draft = draftFromSealed(record);
      // Another run's record, in the place of this one's.
      if (draft.run_id !== key.runId || draft.tenant_id !== key.tenantId) throw misplaced(key, record.seq);
      yield draft;
    }
    seq = records.at(-1)!.seq;
    page = Math.min(Math.max(Math.floor((records.length * PAGE_CHARS) / chars), PAGE_MIN), PAGE_MAX);
  }
}

function misplaced({ runId }: RunKey, seq: number): DamageError {
  return new DamageError("record", { run_id: runId, seq }, "it belongs to another run");
}
