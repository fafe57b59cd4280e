/** Reads every run's ledger back and checks it against the demo's rows and its acknowledged answers and events. */
import { type Run, RunStatus, RunStatusSchema } from "@abstractruntime/proto/run_pb";
import type { StepRecord } from "@abstractruntime/proto/step_record_pb";
import { WaitReason } from "@abstractruntime/proto/wait_pb";

import type { Connection } from "../support/connection.ts";
import { readVerified } from "../support/ledger-check.ts";
import { valueOf } from "../support/values.ts";
import type { Acknowledged } from "./answers.ts";
import type { Expense } from "./expense-file.ts";
import type { Decision } from "./manager.ts";

/** The output of expense.yaml. */
export type Outcome = {
  id: string;
  outcome: "approved" | "reduced" | "refused" | "held";
  by: "rule" | "person" | "manager";
  amount_eur: number;
  reason: string;
  reminders: number;
  paid_time: string | null;
};

export type CheckedRun = {
  runId: string;
  expense: Expense;
  records: StepRecord[];
  outcome: Outcome | undefined;
  /** The run asked a person. */
  asked: boolean;
  /** The run ended, exactly once. */
  completed: boolean;
  /** The problems, by check. */
  problems: Record<CheckName, string[]>;
};

export type CheckName = "end" | "answer" | "event" | "chain";

export type Started = { runId: string; expense: Expense };

/** Enough to keep the server busy while the last ledger is verified. */
const IN_FLIGHT = 8;
const ENDS = new Set(["run.completed", "run.failed", "run.cancelled"]);

/** Checks the runs, in their order. */
export async function checkRuns(
  started: readonly Started[],
  known: {
    connection: Connection;
    answers: ReadonlyMap<string, Acknowledged>;
    decisions: ReadonlyMap<string, Decision>;
    onProgress: (checked: number) => void;
  },
): Promise<CheckedRun[]> {
  const checked: CheckedRun[] = new Array<CheckedRun>(started.length);
  let next = 0;
  let done = 0;
  const work = async () => {
    for (let index = next++; index < started.length; index = next++) {
      checked[index] = await checkRun(started[index]!, known);
      known.onProgress(++done);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  return checked;
}

async function checkRun(
  { runId, expense }: Started,
  known: {
    connection: Connection;
    answers: ReadonlyMap<string, Acknowledged>;
    decisions: ReadonlyMap<string, Decision>;
  },
): Promise<CheckedRun> {
  const verified = await readVerified(known.connection, runId);
  if (verified === undefined) {
    const problems = { end: ["does not exist"], answer: [], event: [], chain: ["has no ledger"] };
    return { runId, expense, records: [], outcome: undefined, asked: false, completed: false, problems };
  }
  const { run, records } = verified;
  const outcome = run.output === undefined ? undefined : (valueOf(run.output) as Outcome);
  const end = endProblems(run, records, outcome, expense);
  return {
    runId,
    expense,
    records,
    outcome,
    asked: records.some(({ wait }) => wait?.reason === WaitReason.USER),
    completed: end.length === 0,
    problems: {
      end,
      answer: answerProblems(records, known.answers.get(runId)),
      event: eventProblems(records, known.decisions.get(runId)),
      chain: verified.problems,
    },
  };
}

function endProblems(
  run: Run,
  records: readonly StepRecord[],
  outcome: Outcome | undefined,
  expense: Expense,
): string[] {
  const problems: string[] = [];
  const starts = records.filter(({ kind }) => kind === "run.started").length;
  const ends = records.filter(({ kind }) => ENDS.has(kind)).length;
  if (run.status !== RunStatus.COMPLETED) {
    problems.push(`is ${RunStatusSchema.value[run.status]?.name}: ${run.error?.message ?? "no error"}`);
  }
  if (starts !== 1) problems.push(`started ${starts} times`);
  if (ends !== 1) problems.push(`ended ${ends} times`);
  if (outcome?.id !== expense.id) problems.push(`ended with the expense ${outcome?.id} instead of ${expense.id}`);
  return problems;
}

/** A question is answered once, by the answer that was acknowledged; the waits before it were ended by reminders. */
function answerProblems(records: readonly StepRecord[], acknowledged: Acknowledged | undefined): string[] {
  const questions = records.filter(({ wait }) => wait?.reason === WaitReason.USER);
  const taken = records.filter(({ requestId }) => requestId !== "");
  if (questions.length === 0 && acknowledged === undefined && taken.length === 0) return [];
  if (acknowledged === undefined) return [`asked ${questions.length} times and took ${taken.length} answers of others`];
  const problems: string[] = [];
  if (taken.length !== 1) problems.push(`took ${taken.length} answers`);
  if (taken.some(({ requestId }) => requestId !== acknowledged.requestId)) problems.push("took an answer not sent");
  if (questions.at(-1)?.wait?.waitId !== acknowledged.waitId) problems.push("took the answer at another wait");
  const answers = taken.map(({ result }) => (valueOf(result) as { answer: string }).answer);
  if (answers.some((answer) => answer !== acknowledged.answer)) problems.push(`took the answers ${answers.join(", ")}`);
  return problems;
}

/** The manager's event was sent twice under one id, and is taken once. */
function eventProblems(records: readonly StepRecord[], decision: Decision | undefined): string[] {
  const taken = records.flatMap((record) => {
    const result = valueOf(record.result) as { event_id?: string; name?: string } | null;
    return result?.name === "expense.decided" && result.event_id !== undefined ? [result.event_id] : [];
  });
  if (taken.length === 0 && decision === undefined) return [];
  if (taken.length === 1 && taken[0] === decision?.eventId) return [];
  return [`took the events ${taken.join(", ") || "none"} instead of ${decision?.eventId ?? "none"}`];
}
