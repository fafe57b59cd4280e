/** What the clients know when the load is over: every run that they started, every answer and its outcome. */
import type { Run, StepRecord } from "../conformance/api.ts";

export type Audited = { run: Run; records: readonly StepRecord[] };

export type Expectation = {
  runId: string;
  status: "RUN_STATUS_COMPLETED" | "RUN_STATUS_CANCELLED";
  /** Returns what is wrong with the run, beyond what holds for all runs. */
  problems: (audited: Audited) => string[];
};

export type AnswerOutcome = {
  runId: string;
  waitId: string;
  requestId: string;
  answer: string;
  /** Refused: another answer or the timeout was first. */
  outcome: "acknowledged" | "refused";
};

export type Knowledge = {
  expectations: Map<string, Expectation>;
  answers: AnswerOutcome[];
  /** Acknowledged calls. */
  counts: { starts: number; answers: number; lateAnswers: number; events: number; cancels: number; pauses: number };
};

export function createKnowledge(): Knowledge {
  const counts = { starts: 0, answers: 0, lateAnswers: 0, events: 0, cancels: 0, pauses: 0 };
  return { expectations: new Map(), answers: [], counts };
}

/** Ids of the events that a run took, in the order in which it took them. */
export function takenEvents(records: readonly StepRecord[]): string[] {
  return records.flatMap(({ nodeId, result }) => {
    const taken = result as { event_id?: unknown; timed_out?: unknown } | null | undefined;
    // The result of emit_event has an event_id too, but never timed_out.
    return nodeId !== undefined && typeof taken?.event_id === "string" && taken.timed_out === false
      ? [taken.event_id]
      : [];
  });
}

/** Compares values that were received as JSON. */
export function differs(what: string, actual: unknown, expected: unknown): string[] {
  const [is, wants] = [JSON.stringify(actual), JSON.stringify(expected)];
  return is === wants ? [] : [`${what} is ${is}, not ${wants}`];
}
