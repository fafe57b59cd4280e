import { draftFromSealed } from "../core/ledger-format.ts";
import type { StepRecordDraft } from "../core/records.ts";
import type { RunKey } from "../store/contract/runs.ts";
import type { Store } from "../store/contract/store.ts";

/** Records read at once at first: each may hold payloads of 1 MiB. */
const PAGE_MIN = 25;
/** Records read at once at most: 100 MiB where all of them hold 1 MiB and none before them did. */
const PAGE_MAX = 100;
/** Characters that a page should hold: most records are small, and then fewer round trips are made. */
const PAGE_CHARS = 4 * 1024 * 1024;

/** The records of a run up to `untilSeq`, in their order, a page at a time. Ends early if the ledger does. */
export async function* readLedger(store: Store, key: RunKey, untilSeq: number): AsyncGenerator<StepRecordDraft> {
  let page = PAGE_MIN;
  for (let seq = 0; seq < untilSeq;) {
    const records = await store.ledger.list(key, seq, Math.min(page, untilSeq - seq));
    if (records.length === 0) return;
    let chars = 0;
    for (const record of records) {
      chars += record.parts.reduce((sum, { text }) => sum + text.length, record.header.length);
      yield draftFromSealed(record);
    }
    seq = records.at(-1)!.seq;
    page = Math.min(Math.max(Math.floor((records.length * PAGE_CHARS) / chars), PAGE_MIN), PAGE_MAX);
  }
}
