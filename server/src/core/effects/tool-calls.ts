/** Calls tools in parallel; a person may have to approve the calls first. */
import { assertAnswers } from "../answer-check.ts";
import { openWait, type PlanFacts } from "../begin-step.ts";
import { type Call, callResults, type CallOutcome, isOpen, type StepSequel } from "../call.ts";
import { failureOf } from "../call-failure.ts";
import type { KindPlace } from "../compile/place.ts";
import { completeStep, failStep, orFail, valueResult } from "../complete-step.ts";
import { DomainError } from "../errors.ts";
import { evaluate, type Expression } from "../expression/evaluate.ts";
import { type Failure, NodeFailure } from "../failure.ts";
import type { NodeDefinition, ToolCallDefinition } from "../graph/definition.ts";
import { BOUNDS } from "../graph/gen/bounds.ts";
import type { WorkflowNode } from "../graph/graph.ts";
import { textProblem } from "../graph/text-bounds.ts";
import {
  assertListFits,
  canonicalJson,
  isJsonObject,
  type Json,
  JSON_DEPTH_MAX,
  type JsonObject,
  type JsonSize,
  measureJson,
} from "../json/json.ts";
import { type Names, namesOf } from "../names.ts";
import { callsOf } from "../run.ts";
import { startCalls } from "../start-calls.ts";
import type { TemplateValue } from "../template.ts";
import { APPROVAL_CHOICES, type ApprovalWait, type ProposedCall } from "../wait.ts";
import type { CallHandling, EffectKind, Step, WaitHandling } from "./effect.ts";

/** The most calls of one effect. */
export const CALLS_MAX = BOUNDS.toolCalls.calls.maxItems;
const { name: NAME_BOUNDS, callId: CALL_ID_BOUNDS } = BOUNDS.toolCall;
/** How much of the tools' names a prompt for approval shows. */
const PROMPT_NAMES_CHARS_MAX = 1_000;

export type ToolCall = { name: TemplateValue; arguments?: TemplateValue; callId?: TemplateValue };

export type ToolCalls = {
  type: "tool_calls";
  calls: readonly ToolCall[] | Expression;
  requireApproval: boolean;
  failureIsError: boolean;
};

const calls: CallHandling = {
  kind: "tool",
  timeoutMsDefault: 15 * 60_000,
  completed(call, step, output, { facts }) {
    const excess = excessOf(callsOf(step.draft.run), call, { output, seq: step.draft.nextSeq });
    if (excess !== undefined) {
      const failure = { code: "RESULT_TOO_LARGE", message: excess, nonRetryable: true };
      calls.failed(call, step, { ...failureOf(failure, facts.attempt), node_id: facts.nodeId }, facts);
      return undefined;
    }
    const given = { text: canonicalJson(output), value: output };
    step.draft.record("call.completed", { status: "started", call: changeOf(call) }, { ...facts, given });
    finish(step);
    return undefined;
  },
  failed(call, step, error, facts) {
    const kept = fittingError(callsOf(step.draft.run), call, error);
    step.draft.record("call.failed", { status: "started", error: kept, call: changeOf(call) }, facts);
    finish(step);
  },
};

const approval: WaitHandling<ApprovalWait> = {
  answer(wait, step, answer) {
    const { draft, workflow, node } = step;
    assertAnswers({ wait_id: wait.wait_id, choices: [...APPROVAL_CHOICES] }, answer.given.value);
    const isApproved = (answer.given.value as JsonObject).answer === APPROVAL_CHOICES[0];
    if (isApproved) {
      const names = namesOf(draft.run, draft.now);
      const done = orFail(() => makeCalls(step, wait.calls, { names, plan: answer }));
      if ("value" in done) return;
      const body = answer.requestId === undefined ? {} : { request_id: answer.requestId };
      failStep(draft, workflow, node, done.failure, { facts: answer, body });
    } else if (failureIsError(node)) {
      const failure = { code: "APPROVAL_DENIED", message: "The calls were not approved.", retryable: false };
      const body = answer.requestId === undefined ? {} : { request_id: answer.requestId };
      failStep(draft, workflow, node, failure, { facts: answer, body });
    } else {
      const result = valueResult({ results: deniedResults(wait.calls) });
      completeStep(draft, workflow, node, { ...answer, result });
    }
  },
  wake: () => undefined,
};

export const toolCalls: EffectKind<ToolCalls, NonNullable<NodeDefinition["toolCalls"]>> = {
  key: "toolCalls",
  type: "tool_calls",
  rests: true,
  compile(definition, place) {
    const { callsFrom } = definition;
    if ((definition.calls ?? []).length > 0 === Boolean(callsFrom)) {
      place.problem("", "needs exactly one of calls, callsFrom");
    }
    const compiled = callsFrom
      ? place.expression("callsFrom", callsFrom)
      : (definition.calls ?? []).flatMap((call, index) => compileCall(call, `calls[${index}]`, place));
    return (
      compiled && {
        type: "tool_calls",
        calls: compiled,
        requireApproval: definition.requireApproval ?? false,
        failureIsError: definition.onFailure === "TOOL_FAILURE_AS_ERROR",
      }
    );
  },
  begin(compiled, step) {
    const { draft, workflow, node, names, plan } = step;
    const proposed = proposedCalls(compiled, names);
    if (proposed.length === 0) {
      // Without calls no result would ever arrive, so the step completes at once.
      const effect = { type: "tool_calls", payload: { calls: [] } };
      completeStep(draft, workflow, node, { ...plan, effect, result: valueResult({ results: [] }) });
    } else if (compiled.requireApproval) {
      openWait(draft, node, "tool_calls", { asks: "approval", prompt: promptOf(proposed), calls: proposed }, plan);
    } else {
      makeCalls(step, proposed, { names, plan });
    }
    return undefined;
  },
  waits: { approval },
  calls,
  /** A plan that asks for calls decides whether their failures fail the node. */
  sequel: ({ failureIsError: isError }): StepSequel => (isError ? { failure_is_error: true } : {}),
  summary: ({ calls: listed = [], callsFrom }) =>
    callsFrom ? `calls ${callsFrom}` : `calls ${listed.map((call) => call.name ?? "").join(", ")}`,
  drawing: { shape: ["[[", "]]"] },
};

function compileCall(call: ToolCallDefinition, field: string, place: KindPlace): ToolCall[] {
  const name = place.required(`${field}.name`, call.name);
  const given = call.arguments === undefined ? undefined : place.value(`${field}.arguments`, call.arguments);
  const callId = call.callId ? place.value(`${field}.callId`, call.callId) : undefined;
  if (name === undefined) return [];
  return [{ name, ...(given ? { arguments: given } : {}), ...(callId ? { callId } : {}) }];
}

/** Puts calls in flight. @throws {NodeFailure} */
function makeCalls(
  { draft, node }: Step,
  proposed: readonly ProposedCall[],
  { names, plan }: { names: Names; plan: PlanFacts },
): void {
  const shown = proposed.map(({ name, arguments: given, call_id }): Json => ({ name, arguments: given, call_id }));
  startCalls(draft, node, {
    effect: { type: "tool_calls", payload: { calls: shown } },
    calls: proposed.map(({ name, call_id, arguments: payload }) => ({ name, callId: call_id, payload })),
    handling: calls,
    names,
    plan,
  });
}

/** Whether a tool call that fails, or is not approved, fails the node instead of being part of its result. */
function failureIsError({ kind, sequel }: WorkflowNode): boolean {
  return kind.type === "tool_calls" ? (kind as ToolCalls).failureIsError : sequel?.failure_is_error === true;
}

function promptOf(proposed: readonly ProposedCall[]): string {
  const names = [...new Set(proposed.map(({ name }) => name))];
  if (proposed.length === 1) return `May ${names[0]} be called?`;
  return `May these ${proposed.length} tool calls be made: ${names.join(", ").slice(0, PROMPT_NAMES_CHARS_MAX)}?`;
}

/** The results of calls that were not approved. */
function deniedResults(proposed: readonly ProposedCall[]): Json {
  const error = { code: "APPROVAL_DENIED", message: "The call was not approved.", retryable: false };
  return proposed.map(({ name, call_id }) => ({ call_id, name, success: false, output: null, error }));
}

function proposedCalls(kind: ToolCalls, names: Names): ProposedCall[] {
  const listed =
    "source" in kind.calls
      ? callsFromExpression(kind.calls, names)
      : kind.calls.map((call) => ({
          name: call.name.evaluate(names),
          arguments: call.arguments?.evaluate(names) ?? {},
          callId: call.callId?.evaluate(names),
        }));
  if (listed.length > CALLS_MAX) {
    const message = `An effect makes at most ${CALLS_MAX} calls; this one has ${listed.length}.`;
    throw new NodeFailure("EVALUATION_FAILED", message);
  }
  return listed.map((call, ordinal) => {
    const { name } = call;
    if (typeof name !== "string" || textProblem(name, NAME_BOUNDS) !== undefined) {
      const message = `The tool name of call ${ordinal} is not 1 to ${NAME_BOUNDS.maxLength} characters.`;
      throw new NodeFailure("EVALUATION_FAILED", message);
    }
    const callId = call.callId ?? `call_${ordinal + 1}`;
    if (typeof callId !== "string" || callId === "" || textProblem(callId, CALL_ID_BOUNDS) !== undefined) {
      const message = `The call_id of call ${ordinal} is not a string of 1 to ${CALL_ID_BOUNDS.maxLength} characters.`;
      throw new NodeFailure("EVALUATION_FAILED", message);
    }
    const { arguments: given } = call;
    if (!isJsonObject(given)) {
      throw new NodeFailure("EVALUATION_FAILED", `The arguments of call ${ordinal} are not an object.`);
    }
    return { name, call_id: callId, arguments: given };
  });
}

function callsFromExpression(expression: Expression, names: Names) {
  const list = evaluate(expression, names);
  if (!Array.isArray(list)) throw new NodeFailure("EVALUATION_FAILED", "The value of calls_from is not a list.");
  return list.map((item, ordinal) => {
    if (!isJsonObject(item)) {
      throw new NodeFailure("EVALUATION_FAILED", `Call ${ordinal} of calls_from is not an object.`);
    }
    return { name: item.name ?? null, arguments: item.arguments ?? {}, callId: item.call_id ?? undefined };
  });
}

function changeOf({ ordinal, call_id }: Call) {
  return { ordinal, ...(call_id === undefined ? {} : { call_id }) };
}

/** Ends the step once all of its calls have settled. */
function finish({ draft, workflow, node }: Step): void {
  const made = callsOf(draft.run);
  if (made.some(isOpen)) return;
  const failed = made.find(({ outcome }) => outcome !== undefined && "error" in outcome);
  if (failed !== undefined && failureIsError(node)) {
    failStep(draft, workflow, node, (failed.outcome as { error: Failure }).error);
    return;
  }
  completeStep(draft, workflow, node, {
    result: [
      { op: "set", path: "", value: {} },
      { op: "set", path: "/results", of: "calls" },
    ],
  });
}

/** Returns a message if `outcome` would make the effect's results, which are one payload, too large. */
function excessOf(made: readonly Call[], call: Call, outcome: CallOutcome): string | undefined {
  if (made.length === 1) return undefined;
  try {
    assertListFits(made.map((one) => (one === call ? measureResult({ ...one, outcome }) : resultSize(one))));
    return undefined;
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    return `The results would have ${error.message}.`;
  }
}

/** Cached sizes of the results of calls: when one of a thousand calls settles, only its own size is new. */
const resultSizes = new WeakMap<Call, JsonSize>();

function resultSize(call: Call): JsonSize {
  const known = resultSizes.get(call);
  if (known !== undefined) return known;
  const size = measureResult(call);
  resultSizes.set(call, size);
  return size;
}

function measureResult(call: Call): JsonSize {
  const [result] = callResults([call]) as Json[];
  // One level more: the object around the output, which has the bound of its own.
  return measureJson(result, { depthMax: JSON_DEPTH_MAX + 1 });
}

/** Failures are part of the results too; a failure that does not fit keeps only its code. */
function fittingError(made: readonly Call[], call: Call, error: Failure): Failure {
  const excess = excessOf(made, call, { error: { ...error } });
  if (excess === undefined) return error;
  const { details: _details, ...rest } = error;
  return { ...rest, message: excess };
}
