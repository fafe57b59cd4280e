/** The calls in a run's ledger: what was called, and how each call ended. */
import type { Json, JsonObject, StepRecord } from "@abstractruntime/sdk";

/** How a call ended. */
export type CallEnd = { time: Date; key: string; result: Json | undefined; error: string | undefined };

export type Call = {
  callId: string;
  tool: string;
  arguments: JsonObject;
  /** The ends in the ledger: exactly one, once the step has ended. */
  ends: CallEnd[];
};

/** A step that calls tools. */
export type CallingStep = { nodeId: string; time: Date; calls: Call[]; endTime: Date | undefined };

export type CallBook = {
  readonly steps: readonly CallingStep[];
  /** Ends that belong to no call. */
  readonly strays: readonly string[];
  /** Takes the next record. Returns its step, if the step calls tools. */
  take: (record: StepRecord) => CallingStep | undefined;
};

export function createCallBook(): CallBook {
  const steps: CallingStep[] = [];
  const strays: string[] = [];

  function takeEnd(record: StepRecord): CallingStep | undefined {
    const step = steps.at(-1);
    const call = step?.calls.find(({ callId }) => callId === record.callId);
    if (call === undefined) strays.push(`record ${record.seq} ends the call ${record.callId}, which nobody made`);
    const { time, idempotencyKey: key = "", result, error } = record;
    call?.ends.push({ time, key, result, error: error && `${error.code}: ${error.message}` });
    return step;
  }

  return {
    steps,
    strays,
    take(record) {
      const { kind, effect, nodeId = "", time } = record;
      switch (kind) {
        case "call.completed":
        case "call.failed":
          return takeEnd(record);
        case "step.started": {
          if (effect?.type !== "tool_calls") return undefined;
          const { calls } = effect.payload as { calls: { name: string; arguments: JsonObject; call_id: string }[] };
          const made = calls.map((call): Call => ({
            callId: call.call_id,
            tool: call.name,
            arguments: call.arguments,
            ends: [],
          }));
          const step: CallingStep = { nodeId, time, calls: made, endTime: undefined };
          steps.push(step);
          return step;
        }
        default: {
          const step = steps.at(-1);
          if (step === undefined || step.endTime !== undefined || step.nodeId !== nodeId) return undefined;
          step.endTime = time;
          return step;
        }
      }
    },
  };
}

/** The calls of the step that were in flight at an instant. */
export function callsInFlight(step: CallingStep, at: Date): Call[] {
  return step.time > at ? [] : step.calls.filter(({ ends }) => !ends.some(({ time }) => time <= at));
}
