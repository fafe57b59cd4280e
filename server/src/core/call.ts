/** Calls: the remote work that one effect asks for, and its outcome. The keys are the ledger's own, hence
 *  snake_case. */
import type { Instant } from "./duration.ts";
import type { Failure } from "./failure.ts";
import type { Json, JsonObject } from "./json/json.ts";

/** The kind of a job; a queue is (tenant, kind, name). */
export type CallKind = "tool" | "handler" | "custom";

/** Whether a job may run twice. */
export type Delivery = "at_least_once" | "at_most_once";

/** A request for something outside the graph, with its payload evaluated. */
export type Effect = { type: string; payload: JsonObject };

/** One piece of remote work of an effect. It stays in the run's state until all calls of the effect have settled. */
export type Call = {
  /** The position of the call in its effect, from 0. Invariant: its index in the list of calls. */
  ordinal: number;
  kind: CallKind;
  /** The tool, the workflow (handler) or the custom effect type. */
  name: string;
  call_id?: string;
  idempotency_key: string;
  /** The current or next attempt. If absent, the first. */
  attempt?: number;
  /** When that attempt may begin, if an earlier one failed. */
  retry_time?: Instant;
  /** How the call ended. Absent while it is in flight. */
  outcome?: CallOutcome;
};

/** How a call ended: with an output, which is the `given` of record `seq`, or with the failure of its last attempt. */
export type CallOutcome = { output: Json; seq: number } | { error: Failure };

/** What a `call.*` record says about its call. */
export type CallChange = {
  ordinal: number;
  call_id?: string;
  /** In `call.retrying`: the next attempt, and when it may begin. */
  next_attempt?: number;
  retry_time?: Instant;
};

/** What follows an effect of a handler's step plan. It replaces the node's own `result_key` and `next`. */
export type StepSequel = {
  /** JSON Pointer into vars. */
  result_path?: string;
  /** If absent, the run is completed with the result. */
  to?: string;
  /** If set, a tool call that fails, or is not approved, fails the node. */
  failure_is_error?: true;
};

/** Whether the call has not settled yet. */
export function isOpen({ outcome }: Call): boolean {
  return outcome === undefined;
}

/** The results of an effect's calls, in order. */
export function callResults(calls: readonly Call[]): Json {
  return calls.map(({ call_id, name, outcome }): Json => {
    const what = { call_id: call_id ?? null, name };
    if (outcome === undefined) return { ...what, success: false, output: null, error: null };
    if ("output" in outcome) return { ...what, success: true, output: outcome.output, error: null };
    return { ...what, success: false, output: null, error: { ...outcome.error } as Json };
  });
}
