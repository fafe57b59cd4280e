/**
 * The fold: `apply(run, record)` returns the state after a record. It reads no workflow and no clock and evaluates
 * nothing, so a ledger means the same in every release and every language. The files beside this one hold the change
 * that each kind of record makes.
 */
import assert from "node:assert/strict";
import { type Json, parseOwnJson } from "../json/json.ts";
import type { RecordKind, StepRecordDraft } from "../records.ts";
import { hasEnded, type RunState } from "../run.ts";
import { CALL_RECORDS } from "./call-records.ts";
import type { Change } from "./change.ts";
import { RUN_RECORDS, startedRun } from "./run-records.ts";
import { STEP_RECORDS } from "./step-records.ts";

const CHANGES: { [K in Exclude<RecordKind, "run.started">]: Change<K> } = {
  ...RUN_RECORDS,
  ...STEP_RECORDS,
  ...CALL_RECORDS,
};

/** The only kinds that may follow the end of a run. They are reserved: no release writes them yet. */
const AFTER_END: ReadonlySet<string> = new Set(["run.retried", "run.restored"]);

/**
 * Returns the state of a run after one more record.
 * @param run the state before; undefined for run.started only
 * @param given the parsed `given` part; read from the record if left out
 */
export function apply(run: RunState | undefined, record: StepRecordDraft, given?: Json): RunState {
  const value = given ?? (record.given === undefined ? undefined : parseOwnJson(record.given));
  if (run === undefined) {
    assert(record.kind === "run.started", "a ledger begins with run.started");
    return startedRun(record, value);
  }
  assert(record.kind !== "run.started", "a run starts once");
  assert(!hasEnded(run) || AFTER_END.has(record.kind), "a run that has ended takes no more records");
  assert.equal(record.seq, run.seq + 1, "a ledger is gapless");
  assert(record.time >= run.updateTime, "a record is never before the previous one");
  const change = CHANGES[record.kind] as Change<RecordKind> | undefined;
  assert(change !== undefined, `this release does not know records of kind ${record.kind}`);
  const after = change(run, record, value);
  return { ...after, epoch: record.epoch, updateTime: record.time, seq: record.seq };
}

/** Folds a whole ledger from its first record. */
export function fold(records: Iterable<StepRecordDraft>): RunState | undefined {
  let run: RunState | undefined;
  for (const record of records) run = apply(run, record);
  return run;
}
