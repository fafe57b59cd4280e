/**
 * Checks the ledgers and the tool's file after all runs have ended.
 *
 * The order of the lines in the file shows whether a recorded call ran again. The test appends a line when it receives
 * the record, which is after its commit; the tool appends one as the first thing that it does. A start below the line
 * of its own key is a call that was recorded and ran again. A start between the commit and the test's line is not
 * detected. The commit comes after the end of the execution whose output is recorded, so the report says how long it
 * took from there to the test's line (`seenMs`) and how many starts of the same keys fell into that time
 * (`startsUnseen`): mostly none.
 *
 * An execution that began before the record is not an error: with delivery at least once, a worker that lost its lease
 * goes on.
 */
import type { Run, StepRecord } from "../conformance/api.ts";
import { differs } from "../crash/expectations.ts";
import { verifyLedger } from "../verifier/verify-ledger.ts";
import type { ExecutionLine, LogLine, SeenLine } from "./tool-log.ts";
import { ATTEMPTS_MAX, failsAt, type NoteOutput, SECOND_CALLS } from "./work.ts";

export type CallRecord = StepRecord & { attempt?: number; callId?: string };
export type AuditedRun = { run: Run; records: readonly CallRecord[]; firstCalls: number };

/** A call's `call.completed`. */
export type CompletedCall = { key: string; attempt: number; output: NoteOutput };

/** Returns what is wrong with a run according to its ledger alone. */
export function ledgerProblems({ run, records, firstCalls }: AuditedRun): string[] {
  const { problems, stateChecked } = verifyLedger(records, run);
  const completed = completedCalls(records);
  const executionsAt = (nodeId: string): string[] =>
    records
      .filter((record) => record.kind === "call.completed" && record.nodeId === nodeId)
      .toSorted((a, b) => ordinalOf(a) - ordinalOf(b))
      .map(({ result }) => (result as NoteOutput).execution);
  const output = { first: executionsAt("first"), second: executionsAt("second") };
  return [
    ...problems,
    ...(stateChecked ? [] : ["its ledger cannot be folded to the run's state"]),
    ...differs("its status", run.status, "RUN_STATUS_COMPLETED"),
    ...differs("its completed first calls", output.first.length, firstCalls),
    ...differs("its completed second calls", output.second.length, SECOND_CALLS),
    ...differs("its different calls", new Set(completed.map(({ key }) => key)).size, firstCalls + SECOND_CALLS),
    ...differs("its output", sorted(run.output), sorted(output)),
    ...records.flatMap(({ kind, error }) => {
      if (kind === "call.failed") return [`a call failed: ${JSON.stringify(error)}`];
      // A lost lease does not use up an attempt.
      return kind === "call.retrying" ? differs("the reason of a retry", error?.code, "TRANSIENT") : [];
    }),
    ...completed.flatMap(({ key, attempt, output }) => [
      ...differs(`the attempt at which ${key} was completed`, attempt, attemptThatReturns(key)),
      ...differs(`the key and attempt that ${key} returned`, [output.key, output.attempt], [key, attempt]),
    ]),
  ].map((problem) => `${run.runId}: ${problem}`);
}

export function completedCalls(records: readonly CallRecord[]): CompletedCall[] {
  return records
    .filter(({ kind }) => kind === "call.completed")
    .map(({ idempotencyKey = "", attempt = 0, result }) => ({
      key: idempotencyKey,
      attempt,
      output: result as NoteOutput,
    }));
}

export type ToolAudit = {
  problems: string[];
  calls: number;
  executions: number;
  /** Executions beyond one for each attempt of a key: each follows a lost lease. */
  duplicates: number;
  /** The most executions of one key. */
  perKeyMax: number;
  /** Executions whose process was killed while they ran. */
  unfinished: number;
  /** Executions that were still running when another's result was recorded for their call. */
  overtaken: number;
  /**
   * Milliseconds from the end of the recorded execution until the test received the record; its commit lies between
   * them.
   */
  seenMs: { p50: number; p99: number; max: number };
  /** Starts of the same key in that time: one after the commit would be a recorded call that ran again. */
  startsUnseen: number;
};

/**
 * Compares the tool's file, in the order of its lines, with the calls that the ledgers show as completed.
 * @param leases the number of leases of each key: each allows one execution
 */
export function auditTool(
  lines: readonly LogLine[],
  completed: readonly CompletedCall[],
  leases: ReadonlyMap<string, number>,
): ToolAudit {
  const problems: string[] = [];
  const placed = lines.map((line, place) => ({ ...line, place }));
  const starts = placed.filter((line): line is ExecutionLine & { place: number } => line.event === "start");
  const ends = new Map(placed.flatMap((line) => (line.event === "end" ? [[line.execution, line] as const] : [])));
  const seen = new Map(
    placed.flatMap((line) => (line.event === "seen" ? [[line.key, line] as const] : [])).toReversed(),
  );
  const startsByKey = Map.groupBy(starts, ({ key }) => key);
  const callsByKey = Map.groupBy(completed, ({ key }) => key);
  const audit = { overtaken: 0, startsUnseen: 0 };
  const seenMs: number[] = [];

  for (const [key, [call, ...others]] of callsByKey) {
    if (others.length > 0) problems.push(`${key} is completed ${others.length + 1} times`);
    const shown = seen.get(key);
    if (shown === undefined) {
      problems.push(`nobody has seen ${key} completed: nothing can be said about it`);
      continue;
    }
    const own = startsByKey.get(key) ?? [];
    problems.push(...callProblems(call!, shown, own, ends));
    const given = ends.get(call!.output.execution);
    if (given !== undefined) {
      seenMs.push(shown.time - given.time);
      audit.startsUnseen += own.filter(({ place }) => place > given.place && place < shown.place).length;
    }
    audit.overtaken += own.filter(({ execution, place }) => {
      const end = ends.get(execution);
      return place < shown.place && end !== undefined && end.place > shown.place;
    }).length;
  }
  for (const [key, { length: times }] of startsByKey) {
    if (!callsByKey.has(key)) problems.push(`${key} ran, and is completed nowhere`);
    const allowed = leases.get(key) ?? 0;
    if (times > allowed) problems.push(`${key} ran ${times} times under ${allowed} leases`);
  }

  const attempts = new Set(starts.map(({ key, attempt }) => `${key}/${attempt}`));
  return {
    problems,
    calls: callsByKey.size,
    executions: starts.length,
    duplicates: starts.length - attempts.size,
    perKeyMax: [...startsByKey.values()].reduce((most, { length }) => Math.max(most, length), 0),
    unfinished: starts.filter(({ execution }) => !ends.has(execution)).length,
    ...audit,
    seenMs: quantiles(seenMs),
  };
}

function callProblems(
  { key, attempt, output }: CompletedCall,
  shown: SeenLine & { place: number },
  starts: readonly (ExecutionLine & { place: number })[],
  ends: ReadonlyMap<string, ExecutionLine & { place: number }>,
): string[] {
  const problems: string[] = [];
  for (const start of starts) {
    if (start.place < shown.place) continue;
    const lateMs = start.time - shown.time;
    problems.push(
      `${key} was recorded as completed and ran again, ${lateMs} ms after it was seen, in process ${start.pid}`,
    );
  }
  const producer = starts.find(({ execution }) => execution === output.execution);
  const end = ends.get(output.execution);
  if (producer === undefined) problems.push(`${key} is recorded with an output that none of its executions gave`);
  else if (producer.attempt !== attempt)
    problems.push(`${key} is recorded with an output of attempt ${producer.attempt}`);
  if (producer !== undefined && !(end?.outcome === "returned" && end.place < shown.place)) {
    problems.push(`${key} is recorded with an output that was not given by then`);
  }
  return problems;
}

/** The first attempt that does not fail, by the tool's rule. */
function attemptThatReturns(key: string): number {
  for (let attempt = 1; attempt < ATTEMPTS_MAX; attempt++) if (!failsAt(key, attempt)) return attempt;
  return ATTEMPTS_MAX;
}

/** Calls are named call_1, call_2, … in the order of their node. */
function ordinalOf({ callId = "" }: CallRecord): number {
  return Number(callId.slice("call_".length));
}

/** As JSON with a fixed order of members, for comparison as text. */
function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

export function quantiles(values: readonly number[]): { p50: number; p99: number; max: number } {
  const ordered = values.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round(ordered[Math.floor((ordered.length - 1) * share)] ?? 0);
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}
