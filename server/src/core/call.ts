/** Calls: the remote work that one effect asks for, and how it went. Keys are those of the ledger, so they are snake_case. */
import type { Instant } from "./duration.ts";
import type { Failure } from "./failure.ts";
import type { Json, JsonObject } from "./json/json.ts";

/** What a job is of: its queue is (tenant, kind, name). */
export type CallKind = "tool" | "handler" | "custom";

/** What may be assumed about running a job twice. */
export type Delivery = "at_least_once" | "at_most_once";

/** A request for something outside the graph, with its payload evaluated. */
export type Effect = { type: string; payload: JsonObject };

/** One piece of remote work that an effect asked for. It stays in the state until all calls of its effect have settled. */
export type Call = {
  /** Which call of the effect, from 0. Invariant: its place in the list of calls. */
  ordinal: number;
  kind: CallKind;
  /** The tool, the workflow (handler) or the custom effect type. */
  name: string;
  call_id?: string;
  idempotency_key: string;
  /** The attempt that is under way or comes next. If absent, the first. */
  attempt?: number;
  /** When that attempt may begin, after one that failed. */
  retry_time?: Instant;
  /** How the call ended. Absent while it is in flight. */
  outcome?: CallOutcome;
};

/** How a call ended: with an output, which record `seq` was given, or with the failure of its last attempt. */
export type CallOutcome = { output: Json; seq: number } | { error: Failure };

/** What a `call.*` record says about its call. */
export type CallChange = {
  ordinal: number;
  call_id?: string;
  /** In `call.retrying`: the attempt to come, and when it may begin. */
  next_attempt?: number;
  retry_time?: Instant;
};

/** What follows an effect that a handler's step plan asked for, in place of the node's own `result_key` and `next`. */
export type StepSequel = {
  /** JSON Pointer into vars. */
  result_path?: string;
  /** If absent, the run is completed with the result. */
  to?: string;
  /** A tool call that fails, or is not approved, fails the node. */
  failure_is_error?: true;
};

/** Whether the call has not settled yet. */
export function isOpen({ outcome }: Call): boolean {
  return outcome === undefined;
}

/** The results of an effect's calls, in their order. */
export function callResults(calls: readonly Call[]): Json {
  return calls.map(({ call_id, name, outcome }): Json => {
    const what = { call_id: call_id ?? null, name };
    if (outcome === undefined) return { ...what, success: false, output: null, error: null };
    if ("output" in outcome) return { ...what, success: true, output: outcome.output, error: null };
    return { ...what, success: false, output: null, error: { ...outcome.error } as Json };
  });
}
