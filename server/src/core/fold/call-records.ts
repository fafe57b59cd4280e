/** The changes of records about one call of the current effect. A failed call need not fail the node. */
import assert from "node:assert/strict";
import type { Call } from "../call.ts";
import type { RunState } from "../run.ts";
import type { Change } from "./change.ts";

type CallKind = "call.completed" | "call.failed" | "call.retrying";

export const CALL_RECORDS: { [K in CallKind]: Change<K> } = {
  "call.completed": (run, { body, seq }, given) =>
    withCall(run, body.call.ordinal, (call) => ({ ...call, outcome: { output: given ?? null, seq } })),
  "call.failed": (run, { body }) =>
    withCall(run, body.call.ordinal, (call) => ({ ...call, outcome: { error: body.error } })),
  "call.retrying": (run, { body }) => {
    const { ordinal, next_attempt: attempt, retry_time } = body.call;
    return withCall(run, ordinal, (call) => ({
      ...call,
      ...(attempt === undefined ? {} : { attempt }),
      ...(retry_time === undefined ? {} : { retry_time }),
    }));
  },
};

function withCall(run: RunState, ordinal: number, change: (call: Call) => Call): RunState {
  const { inFlight } = run;
  assert(inFlight?.at === "calls", "a record of a call needs calls in flight");
  const { retry_time: _retryTime, ...call } = inFlight.calls[ordinal]!;
  return { ...run, inFlight: { ...inFlight, calls: inFlight.calls.with(ordinal, change(call)) } };
}
