/**
 * Rows of runs that are behind their ledgers. While a run is active only its owner changes it, and a step's record says
 * everything that the step changed. So the row need not be rewritten with every step, which saves half of what a step
 * costs the database. Readers of the run fold the records after the row into it.
 *
 * How far a row may be behind is bounded, so that every read of a run costs about the same, and lists ordered by time
 * are accurate to the second.
 */
import { apply } from "../core/fold/fold.ts";
import { addMs, type Instant } from "../core/duration.ts";
import type { Json } from "../core/json/json.ts";
import { draftFromSealed, type SealedRecord, type StoredRecord } from "../core/ledger-format.ts";
import type { AnyRecord, StepRecordDraft } from "../core/records.ts";
import type { RowBehind, StoredRun } from "./contract/runs.ts";

const STEPS_MAX = 64;
const CHARS_MAX = 256 * 1024;
const AGE_MAX_MS = 1_000;

/** A record that is not yet folded into the row. */
export type MissingRecord = Pick<SealedRecord, "header" | "hash"> & {
  parts: StoredRecord["parts"];
};

/**
 * Returns a run as its ledger says.
 * @param row the run as its row says
 * @param missing the records after the row, in order
 */
export function foldMissing(row: StoredRun, missing: readonly MissingRecord[]): StoredRun {
  return foldInto(row, missing, draftFromSealed);
}

/** The same without payloads: `row` has no vars, and `given` may be left out of the records. */
export function foldMissingHeads(row: StoredRun, missing: readonly MissingRecord[]): StoredRun {
  return foldInto(row, missing, (record) => {
    const { given: _given, body, ...rest }: AnyRecord = draftFromSealed(record);
    const { patch: _patch, result: _result, ...changes } = body;
    return { ...rest, body: changes } as StepRecordDraft;
  });
}

function foldInto(
  row: StoredRun,
  missing: readonly MissingRecord[],
  draftOf: (record: MissingRecord) => StepRecordDraft,
): StoredRun {
  const last = missing.at(-1);
  if (last === undefined) return row;
  const state = missing.reduce((run, record) => apply(run, draftOf(record)), row.state);
  return { ...row, state, headHash: last.hash, behind: behindOf(row, missing) };
}

function behindOf({ state }: StoredRun, missing: readonly MissingRecord[]): RowBehind {
  const { seq, vars, updateTime } = state;
  return { seq, vars, updateTime, chars: charsOf(missing) };
}

/** Returns the row's values if the row is left behind by these records as well; undefined if it must be written. */
export function stayBehind(
  before: StoredRun,
  after: { seq: number; updateTime: Instant },
  records: readonly SealedRecord[],
): RowBehind | undefined {
  const { behind } = before;
  const next = behind === undefined ? behindOf(before, records) : { ...behind, chars: behind.chars + charsOf(records) };
  const isNear = after.seq - next.seq <= STEPS_MAX && next.chars <= CHARS_MAX;
  return isNear && after.updateTime < addMs(next.updateTime, AGE_MAX_MS) ? next : undefined;
}

/** The seq in the row of a run. */
export function rowSeqOf({ state, behind }: StoredRun): number {
  return behind?.seq ?? state.seq;
}

/** The update time in the row of a run, by which lists are ordered. */
export function rowTimeOf({ state, behind }: StoredRun): Instant {
  return behind?.updateTime ?? state.updateTime;
}

/** The vars in the row of a run. */
export function rowVarsOf({ state, behind }: StoredRun): Json {
  return behind === undefined ? state.vars : behind.vars;
}

function charsOf(records: readonly MissingRecord[]): number {
  let chars = 0;
  for (const { header, parts } of records) {
    chars += header.length;
    for (const { text } of parts) chars += text.length;
  }
  return chars;
}
