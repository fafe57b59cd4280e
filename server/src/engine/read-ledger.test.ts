import { expect, test } from "vitest";
import { NO_PREVIOUS_HASH, type SealedRecord } from "../core/ledger-format.ts";
import type { StepRecordDraft } from "../core/records.ts";
import type { Instant } from "../core/duration.ts";
import type { Store } from "../store/contract/store.ts";
import { readLedger } from "./read-ledger.ts";
import { sealRecords } from "./transition/seal.ts";

const KEY = { tenantId: "t", runId: "r" };

function ledgerOf(count: number, noteChars: number): SealedRecord[] {
  const drafts = Array.from({ length: count }, (_, index) => ({
    tenant_id: KEY.tenantId,
    run_id: KEY.runId,
    seq: index + 1,
    kind: "run.paused",
    time: "2026-01-02T03:04:05.678901Z" as Instant,
    body: { reason: "n".repeat(noteChars) },
  })) as unknown as StepRecordDraft[];
  return sealRecords(drafts, NO_PREVIOUS_HASH).sealed;
}

/** A store that has only this ledger, and notes how many records each read asks for. */
function storeOf(records: readonly SealedRecord[]) {
  const limits: number[] = [];
  const list = async (_key: unknown, afterSeq: number, limit: number): Promise<SealedRecord[]> => {
    limits.push(limit);
    return records.slice(afterSeq, afterSeq + limit);
  };
  return { limits, store: { ledger: { list } } as unknown as Store };
}

async function seqsOf(records: AsyncIterable<StepRecordDraft>): Promise<number[]> {
  const seqs: number[] = [];
  for await (const { seq } of records) seqs.push(seq);
  return seqs;
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

test("every record up to a seq is read once, in order; small ones in larger pages", async () => {
  const { store, limits } = storeOf(ledgerOf(400, 10));
  expect(await seqsOf(readLedger(store, KEY, 330))).toEqual(upTo(330));
  expect(limits).toEqual([25, 100, 100, 100, 5]);
});

test("large records are read a few at a time", async () => {
  const { store, limits } = storeOf(ledgerOf(60, 200_000));
  expect(await seqsOf(readLedger(store, KEY, 60))).toEqual(upTo(60));
  expect(limits).toEqual([25, 25, 10]);
});

test("a ledger that is shorter ends the reading", async () => {
  const { store } = storeOf(ledgerOf(3, 10));
  expect(await seqsOf(readLedger(store, KEY, 10))).toEqual([1, 2, 3]);
});
