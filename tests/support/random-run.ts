/**
 * Random graphs, and random things that happen to their runs, for property tests. A graph is a chain of nodes, each
 * with an edge to the next one, so most graphs are valid. The rest of a node (its kind, conditions, targets, handlers)
 * is random.
 */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { DomainError, type ErrorReason } from "../../server/src/core/errors.ts";
import type { Scope } from "../../server/src/core/event.ts";
import { hasEnded, hasNextStep, openWaitOf, callsOf } from "../../server/src/core/run.ts";
import type { CallFailure } from "../../server/src/core/call-failure.ts";
import type { HandlerOutcome, HandlerRequest } from "../../server/src/core/handler-request.ts";
import type { CallEnd } from "../../server/src/core/settle-calls.ts";
import type { Call } from "../../server/src/core/call.ts";
import { callEnd, createTestRun, createTestWorld, type TestRun, type TestStart } from "./test-world.ts";
import type { Json, JsonObject } from "../../server/src/core/json/json.ts";
import { shownWait, type Wait } from "../../server/src/core/wait.ts";
import type { NodeDefinition, WorkflowDefinition } from "../../server/src/core/graph/definition.ts";
import type { Workflow } from "../../server/src/core/graph/graph.ts";

/** Values of templates: most have a value, a few fail. */
const value: fc.Arbitrary<Json> = fc.constantFrom<Json[]>(
  2,
  true,
  ["yes", "no"],
  "${now}",
  "${run}",
  "${vars.?a.orValue('x')}",
  "${error == null ? 'fine' : error.code}",
  1,
  null,
  // An integer as text that no double can hold; from 1e21 on, numbers are written with an exponent.
  1.2345678901234568e20,
  [-0.1, 5e-324, 1.5e300, -9007199254740992],
  "text",
  "${vars.a + 1}",
  "${vars.?a.orValue(0)}",
  "a is ${vars.?a.orValue('none')} at ${now}",
  "${vars}",
  "${[vars.?a.orValue(1), result, error]}",
  "${vars.missing}",
  "${1 / 0}",
  "${run.steps}",
  [],
  ["x", "${vars.?b.orValue(null)}"],
  { deep: { list: [1, 2], text: "${run.run_id}" } },
  { "odd name/~": "é🎉" },
);

const condition = fc.constantFrom(
  "true",
  "false",
  "vars.?a.orValue(0) == 1",
  "has(vars.b)",
  "!has(vars.r)",
  "has(vars.r)",
  "error == null",
  "result != null",
  "has(result.results) && size(result.results) > 0 && result.results[0].success",
  "run.steps < 5",
  "has(vars.list) && size(vars.list) > 2",
  "'not a boolean'",
);

const paths = ["a", "b", "list", "r", "deep.x", "deep.y.z"];
const path = fc.constantFrom(...paths, ...paths, "list.0");
const scope = fc.constantFrom(undefined, "SCOPE_RUN", "SCOPE_SESSION", "SCOPE_WORKFLOW", "SCOPE_GLOBAL");
const timeout = fc.constantFrom(undefined, undefined, undefined, "0s", "10s", "1h", "${vars.b}");
const key = fc.constantFrom(undefined, undefined, "k1", "${vars.?a.orValue('k2')}");

const assign: fc.Arbitrary<NodeDefinition> = fc
  .uniqueArray(
    fc.tuple(path, fc.constantFrom<("values" | "append" | "unset")[]>("values", "values", "append", "unset"), value),
    {
      minLength: 1,
      maxLength: 3,
      selector: ([dotted]) => dotted,
    },
  )
  .map((writes) => {
    const node = { values: {} as JsonObject, append: {} as JsonObject, unset: [] as string[] };
    for (const [dotted, how, json] of writes) {
      if (how === "unset") node.unset.push(dotted);
      else node[how][dotted] = json;
    }
    return { assign: node };
  });

const askUser = fc
  .record({
    prompt: fc.constantFrom("Well?", "${vars.?a.orValue('what')}?", "Well, ${now}?", "${vars.missing}"),
    details: fc.option(value, { nil: undefined }),
    choices: fc.constantFrom<(Json | undefined)[]>(undefined, undefined, ["yes", "no", { n: 1 }], "${vars.list}"),
    allowFreeText: fc.boolean(),
    answerSchema: fc.constantFrom(undefined, undefined, { type: "string" }, { type: "number", maximum: 9 }),
    assignees: fc.constantFrom(undefined, undefined, ["finance"], ["finance", "${vars.list}"]),
    timeout,
    defaultAnswer: fc.option(value, { nil: undefined }),
  })
  .map((ask): NodeDefinition => ({ askUser: present(ask) as unknown as NonNullable<NodeDefinition["askUser"]> }));

const waitUntil: fc.Arbitrary<NodeDefinition> = fc
  .constantFrom(
    { after: "10s" },
    { after: "${string(1 + 1)}m" },
    { after: "${vars.a}" },
    { at: "2020-01-01T00:00:00Z" },
    { at: "${now + duration('90s')}" },
    { at: "soon ${vars.a}" },
  )
  .map((waitUntil) => ({ waitUntil }));

const waitEvent: fc.Arbitrary<NodeDefinition> = fc
  .record({
    names: fc.subarray(["tick", "order.paid", "order.*", "*", "${'ti' + 'ck'}"], { minLength: 1 }),
    scope,
    key,
    timeout,
  })
  .map((wait) => ({ waitEvent: present(wait) }));

const emitEvent: fc.Arbitrary<NodeDefinition> = fc
  .record({
    name: fc.constantFrom("tick", "order.paid", "${vars.?a.orValue('tick')}"),
    scope,
    key,
    payload: fc.option(value, { nil: undefined }),
    eventId: fc.constantFrom(undefined, undefined, undefined, "same-id", "${vars.a}"),
  })
  .map((emit) => ({ emitEvent: present(emit) }));

const toolCalls: fc.Arbitrary<NodeDefinition> = fc
  .record({
    calls: fc.constantFrom<NonNullable<NodeDefinition["toolCalls"]>[]>(
      {
        calls: [
          { name: "pay", arguments: { a: "${vars.?a.orValue(null)}" } },
          { name: "mail", callId: "m" },
          { name: "mail", arguments: "${{'to': [now]}}" },
        ],
      },
      { calls: [{ name: "pay" }] },
      { callsFrom: "range(2).map(n, {'name': 'tool', 'arguments': {'n': n}, 'call_id': 'id' + string(n)})" },
      { callsFrom: "vars.list" },
      { callsFrom: "[]" },
    ),
    requireApproval: fc.boolean(),
    onFailure: fc.constantFrom(undefined, "TOOL_FAILURE_AS_ERROR"),
  })
  .map(({ calls, ...rest }) => ({ toolCalls: { ...calls, ...present(rest) } }));

const workers: fc.Arbitrary<NodeDefinition> = fc
  .record({
    kind: fc.oneof(
      { weight: 3, arbitrary: toolCalls },
      { weight: 1, arbitrary: fc.constant<NodeDefinition>({ custom: { type: "robot.move", payload: "${vars}" } }) },
      { weight: 3, arbitrary: fc.constant<NodeDefinition>({ handler: {} }) },
    ),
    policy: fc.constantFrom<NodeDefinition["policy"][]>(
      undefined,
      undefined,
      { maxAttempts: 2, initialBackoff: "0s", nonRetryableErrors: ["BAD_INPUT"] },
      { delivery: "DELIVERY_AT_MOST_ONCE", timeout: "${vars.?b.orValue('9s')}", jitter: "JITTER_NONE" },
    ),
  })
  .map(({ kind, policy }) => ({ ...kind, ...(policy === undefined ? {} : { policy }) }));

const middleKind: fc.Arbitrary<NodeDefinition> = fc.oneof(
  { weight: 6, arbitrary: assign },
  { weight: 3, arbitrary: askUser },
  { weight: 2, arbitrary: waitUntil },
  { weight: 3, arbitrary: waitEvent },
  { weight: 3, arbitrary: emitEvent },
  {
    weight: 1,
    arbitrary: fc.constantFrom("Hello", "${vars.?a.orValue(3)}").map((message) => ({ answerUser: { message } })),
  },
  { weight: 6, arbitrary: workers },
);

const endKind: fc.Arbitrary<NodeDefinition> = fc.oneof(
  value.map((output) => ({ complete: { output } })),
  fc.constant({ complete: {} }),
  fc.constant({ fail: { code: "BROKEN", message: "at ${now}" } }),
  fc.constant({ fail: { code: "BROKEN", message: "at ${run.steps}" } }),
  // An effect without an edge: its result is the run's.
  fc.constantFrom<NodeDefinition[]>({ waitUntil: { after: "10s" } }, { answerUser: { message: "bye" } }),
);

/** A graph; about four of five are valid. */
export const arbitraryGraph: fc.Arbitrary<WorkflowDefinition> = fc
  .array(
    fc.record({
      kind: middleKind,
      resultKey: fc.option(path, { nil: undefined }),
      branches: fc.array(fc.record({ when: condition, to: fc.nat() }), { maxLength: 2 }),
      chainWhen: fc.option(condition, { nil: undefined, freq: 2 }),
      onError: fc.option(fc.nat(), { nil: undefined, freq: 2 }),
    }),
    { minLength: 1, maxLength: 8, size: "max" },
  )
  .chain((middle) =>
    fc.record({
      middle: fc.constant(middle),
      end: endKind,
      onError: fc.option(fc.nat(), { nil: undefined, freq: 2 }),
      onCancel: fc.option(fc.nat(), { nil: undefined, freq: 2 }),
      maxSteps: fc.constantFrom(1, 4, 30, 30, 30, 30),
      runTimeout: fc.constantFrom(undefined, undefined, undefined, "5s", "2h", "2h"),
      defaultVars: fc.constantFrom<(JsonObject | undefined)[]>(
        undefined,
        { a: 1, list: ["yes"] },
        { a: "10s", b: "5s" },
      ),
      varsSchema: fc.constantFrom<(JsonObject | undefined)[]>(undefined, undefined, undefined, {
        type: "object",
        required: ["a"],
      }),
      flaw: fc.constantFrom(...Array<string>(12).fill("none"), "dangling", "unreachable", "expression"),
    }),
  )
  .map(({ middle, end, onError, onCancel, maxSteps, runTimeout, defaultVars, varsSchema, flaw }) => {
    const nodeAt = (index: number) =>
      index % (middle.length + 1) === middle.length ? "end" : `n${index % (middle.length + 1)}`;
    const nodes: { [nodeId: string]: NodeDefinition } = { end };
    for (const [index, { kind, resultKey, branches, chainWhen, onError }] of middle.entries()) {
      const chain = { to: nodeAt(index + 1), ...(chainWhen === undefined ? {} : { when: chainWhen }) };
      nodes[`n${index}`] = {
        ...kind,
        ...(resultKey === undefined || kind.assign !== undefined ? {} : { resultKey }),
        next: [...branches.map(({ when, to }) => ({ when, to: nodeAt(to) })), chain],
        ...(onError === undefined ? {} : { onError: nodeAt(onError) }),
      };
    }
    if (flaw === "dangling") nodes["n0"]!.next!.push({ to: "nowhere" });
    if (flaw === "unreachable") nodes["island"] = { complete: {} };
    if (flaw === "expression") nodes["n0"]!.next!.unshift({ to: "end", when: "vars.(" });
    return {
      workflowId: "random",
      entryNode: "n0",
      nodes,
      limits: { maxSteps, ...(runTimeout === undefined ? {} : { runTimeout }) },
      ...(defaultVars === undefined ? {} : { defaultVars }),
      ...(varsSchema === undefined ? {} : { varsSchema }),
      ...(onError === undefined ? {} : { onError: nodeAt(onError) }),
      ...(onCancel === undefined ? {} : { onCancel: nodeAt(onCancel) }),
    };
  });

/**
 * How an attempt ends; the call and the attempt are given beside it. `plan` is what a handler returns instead of
 * `output`.
 */
type RandomEnd = { output: Json; plan: Json; failure?: CallFailure };

export type Happening =
  | {
      type:
        | "settle"
        | "advance"
        | "wake"
        | "cancel"
        | "pause"
        | "unpause"
        | "fail"
        | "answer_well"
        | "answer_last"
        | "wrong_wait";
    }
  | { type: "pass"; ms: number }
  | { type: "answer"; payload: Json; actorId?: string; requestId?: string }
  | { type: "settle_calls"; ends: (RandomEnd & CallPlace)[] }
  | { type: "emit"; name: string; scope: Scope; key: string; payload: Json };

type CallPlace = { ordinal: number; attemptsOff: number; actorId?: string; isAtMostOnce: boolean; random: number };

const answerPayload = fc.constantFrom<Json[]>(
  { answer: "yes" },
  { answer: "yes" },
  { answer: { n: 1 } },
  { answer: 7 },
  { answer: 70 },
  { answer: null },
  { answer: "free text" },
  { reply: "yes" },
  {},
  "yes",
  null,
);

const planEffect = fc.constantFrom<JsonObject[]>(
  {},
  {},
  {},
  { askUser: { prompt: "Well, ${vars.a}?", choices: ["yes", "no", { n: 1 }], allowFreeText: true, timeout: "10s" } },
  { ask_user: { prompt: "How many?", answer_schema: { type: "number", maximum: 9 } } },
  { waitUntil: { after: "10s" } },
  { waitEvent: { names: ["tick", "order.*"], scope: "global", timeout: "1h" } },
  { wait_event: { names: ["*"], scope: "SCOPE_RUN", key: "k1" } },
  { emitEvent: { name: "tick", scope: "GLOBAL", payload: { text: "${now}" } } },
  { answerUser: { message: "${run}" } },
  { toolCalls: { calls: [{ name: "pay", arguments: { text: "${now}" }, callId: "one" }, { name: "mail" }] } },
  { tool_calls: { calls: [{ name: "pay" }], require_approval: true, on_failure: "as_error" } },
  { custom: { type: "robot.move", payload: { to: [1, "${vars}"] } } },
);

const planPatch = fc.constantFrom<(Json[] | undefined)[]>(
  undefined,
  undefined,
  [{ op: "set", path: "/a", value: { text: "${now}", n: 1 } }],
  [
    { op: "PATCH_OP_KIND_SET", path: "/deep/x", value: null },
    { op: "APPEND", path: "/log", values: [1, "two"] },
    { op: "unset", path: "/b" },
  ],
  [{ op: "append", path: "/list", values: ["no"] }],
  [{ op: "set", path: "/list/7", value: 1 }],
);

/**
 * Step plans, most of them valid. `next_node` is the index of an edge of the handler's node; `withTarget` replaces it
 * by the edge's target.
 */
const stepPlan: fc.Arbitrary<Json> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc
      .record({
        effect: planEffect,
        patch: planPatch,
        resultKey: fc.constantFrom(undefined, "r", "deep.x"),
        next: fc.constantFrom<JsonObject[]>(
          { nextNode: "0" },
          { next_node: "1" },
          { nextNode: "2" },
          { nextNode: "somewhere" },
          { completeOutput: { done: ["${vars}"] } },
          { fail: { code: "BROKEN", message: "${error}" } },
          {},
        ),
      })
      .map(({ effect, patch, resultKey, next }) => {
        const isEffect = Object.keys(effect).length > 0;
        return {
          ...effect,
          ...(isEffect && (next.fail ?? next.completeOutput) !== undefined ? {} : next),
          ...(isEffect && resultKey !== undefined ? { resultKey } : {}),
          ...(patch === undefined ? {} : { patch }),
        };
      }),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom<Json[]>(null, "plan", {}, [], { nextNode: "0", effect: {} }, { assign: {} }),
  },
);

const callFailure = fc.constantFrom<CallFailure[]>(
  { code: "TOOL_FAILED", message: "try again" },
  { code: "TOOL_FAILED", message: "try again", details: { at: [1] } },
  { code: "BAD_INPUT", message: "no such account" },
  { code: "BAD_INPUT", message: "never", nonRetryable: true },
);

const randomEnd: fc.Arbitrary<RandomEnd> = fc
  .record({
    output: fc.constantFrom<Json[]>(null, 1, "text", { a: [{ b: 1 }] }, [], { "odd name/~": "é🎉" }),
    plan: stepPlan,
    failure: fc.option(callFailure, { nil: undefined, freq: 2 }),
  })
  .map((end) => present(end) as RandomEnd);

const callPlace: fc.Arbitrary<CallPlace> = fc
  .record({
    ordinal: fc.constantFrom(0, 0, 1, 2),
    // Of an attempt that is over, or has not begun.
    attemptsOff: fc.constantFrom(0, 0, 0, 0, 0, -1, 1),
    actorId: fc.constantFrom(undefined, "worker-1"),
    isAtMostOnce: fc.constantFrom(false, false, false, true),
    random: fc.constantFrom(0, 0.25, 0.999),
  })
  .map((place) => present(place) as CallPlace);

const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .array(
        fc.tuple(callPlace, randomEnd).map(([place, end]) => ({ ...place, ...end })),
        { minLength: 1, maxLength: 4 },
      )
      .map((ends): Happening => ({ type: "settle_calls", ends })),
  },
  { weight: 6, arbitrary: fc.constant<Happening>({ type: "settle" }) },
  { weight: 2, arbitrary: fc.constant<Happening>({ type: "advance" }) },
  { weight: 6, arbitrary: fc.constantFrom<Happening[]>({ type: "answer_well" }, { type: "answer_last" }) },
  { weight: 4, arbitrary: fc.constant<Happening>({ type: "wake" }) },
  {
    weight: 3,
    arbitrary: fc
      .record({
        payload: answerPayload,
        actorId: fc.constantFrom(undefined, "ada"),
        requestId: fc.constantFrom(undefined, "request-1"),
      })
      .map((answer): Happening => ({ type: "answer", ...present(answer) })),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("emit" as const),
      name: fc.constantFrom("tick", "order.paid", "order.lost"),
      scope: fc.constantFrom<Scope[]>("run", "session", "workflow", "global"),
      key: fc.constantFrom("", "k1", "k2"),
      payload: value,
    }),
  },
  {
    weight: 4,
    // The clock of another server may be behind.
    arbitrary: fc.constantFrom(1_000, 15_000, 3_600_000, -2_000).map((ms): Happening => ({ type: "pass", ms })),
  },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom<Exclude<Happening["type"], "pass" | "answer" | "emit" | "settle_calls">[]>(
        "cancel",
        "pause",
        "pause",
        "unpause",
        "unpause",
        "pause",
        "unpause",
        "cancel",
        "fail",
        "wrong_wait",
      )
      .map((type): Happening => ({ type })),
  },
);

/** What happens to a run, in this order. */
export const arbitraryHappenings = fc.array(happening, { minLength: 1, maxLength: 40, size: "max" });

export const arbitraryStart = fc
  .record({
    vars: fc.constantFrom<JsonObject[]>(
      {},
      { a: 1, b: "20s" },
      { a: "10s", list: ["yes"] },
      { list: "none", "a/b": [] },
    ),
    sessionId: fc.constantFrom(undefined, "session-1"),
    actorId: fc.constantFrom(undefined, "ada"),
    paused: fc.constantFrom(false, false, false, true),
    startAt: fc.constantFrom(undefined, undefined, "2026-03-01T09:00:10.000000Z"),
    handlers: fc.array(
      fc.oneof(
        { weight: 5, arbitrary: randomEnd },
        { weight: 2, arbitrary: fc.constantFrom("unserved" as const, "lost" as const) },
      ),
      { minLength: 1, maxLength: 4 },
    ),
  })
  .map(({ handlers, ...start }) => ({ handlers, start: present(start) as TestStart }));

/** How a run starts, and how its handlers end: one outcome after the other, then again from the first. */
export type RandomStart = { start: TestStart; handlers: readonly (RandomEnd | "unserved" | "lost")[] };

/** Plays a run; returns undefined if the start was refused. Every refusal must be one that the run's state explains. */
export function playRun(
  workflow: Workflow,
  { start, handlers }: RandomStart,
  happenings: readonly Happening[],
): TestRun | undefined {
  const world = createTestWorld();
  // Events from before the start do not reach the run.
  world.emit({ name: "tick" });
  world.emit({ name: "order.paid", scope: "session", scopeId: "session-1", key: "k1" });
  let handlersRun = 0;
  const handler = ({ nodeId }: HandlerRequest): HandlerOutcome => {
    const end = handlers[handlersRun++ % handlers.length]!;
    if (typeof end === "string") return { type: end };
    if (end.failure !== undefined) return { type: "failed", failure: end.failure, random: 0.5 };
    return { type: "plan", output: withTarget(end.plan, workflow, nodeId), actorId: "worker-1" };
  };
  let run: TestRun;
  try {
    run = createTestRun(workflow, { ...start, world, handler });
  } catch (error) {
    assert(error instanceof DomainError && error.reason === "VARS_INVALID", String(error));
    return undefined;
  }
  for (const happening of happenings) {
    const expected = refusalsOf(run, happening);
    try {
      happen(run, happening);
    } catch (error) {
      assert(error instanceof DomainError, error as Error);
      assert(expected.includes(error.reason), `${happening.type} was refused with ${error.reason}`);
    }
  }
  return run;
}

/** Replaces the index of an edge in the plan by its target. If there is no such edge, the plan leads to no node. */
function withTarget(plan: Json, workflow: Workflow, nodeId: string): Json {
  if (plan === null || typeof plan !== "object" || Array.isArray(plan)) return plan;
  const { nextNode, next_node: alias, ...rest } = plan;
  const edge = nextNode ?? alias;
  if (edge === undefined) return plan;
  return { ...rest, nextNode: workflow.nodes.get(nodeId)!.next[Number(edge)]?.to ?? edge };
}

/** Settles calls twice: an end that counted does not count again. */
function settleCalls(run: TestRun, randomEnds: Extract<Happening, { type: "settle_calls" }>["ends"]): void {
  const { state, workflow } = run;
  const ends = randomEnds.map(({ ordinal, attemptsOff, output, plan, failure, ...place }) => {
    const call = callsOf(state)[ordinal];
    const given = call?.kind === "handler" ? withTarget(plan, workflow, state.node) : output;
    const end = callEnd(state, { ordinal, ...place, ...(failure === undefined ? { output: given } : { failure }) });
    return { ...end, attempt: end.attempt + attemptsOff };
  });
  run.perform({ type: "settle", ends });
  const isCurrent = (end: CallEnd) => callsOf(state).some((call) => isEndOf(call, end));
  assert.deepEqual(run.perform({ type: "settle", ends: ends.filter(isCurrent) }), [], "an attempt ends once");
}

function isEndOf(call: Call, { idempotencyKey, attempt }: CallEnd): boolean {
  return call.idempotency_key === idempotencyKey && (call.attempt ?? 1) === attempt;
}

function happen(run: TestRun, happening: Happening): void {
  const { state, world } = run;
  switch (happening.type) {
    case "settle":
      run.settle();
      return;
    case "advance":
      if (hasNextStep(state)) run.perform({ type: "advance" });
      return;
    case "answer": {
      const { type: _type, ...answer } = happening;
      run.perform({ type: "answer", waitId: openWaitOf(state)?.wait_id ?? "none", ...answer });
      return;
    }
    case "answer_well":
    case "answer_last": {
      const answer = goodAnswer(openWaitOf(state), happening.type === "answer_last" ? -1 : 0);
      run.perform({ type: "answer", waitId: openWaitOf(state)?.wait_id ?? "none", payload: { answer } });
      return;
    }
    case "wrong_wait":
      run.perform({ type: "answer", waitId: "another", payload: { answer: 1 } });
      return;
    case "wake":
      run.perform({ type: "wake" });
      return;
    case "cancel":
    case "pause":
    case "unpause":
      run.perform({ type: happening.type, actorId: "ada", reason: "because" });
      return;
    case "fail":
      run.perform({ type: "fail", failure: { code: "STORE_REJECTED", message: "no", retryable: false } });
      return;
    case "settle_calls":
      settleCalls(run, happening.ends);
      return;
    case "pass":
      world.pass(happening.ms);
      return;
    case "emit": {
      const { type: _type, ...event } = happening;
      const scopeIds = { run: state.runId, session: "session-1", workflow: "random", global: "" };
      world.emit({ ...event, scopeId: scopeIds[event.scope] });
    }
  }
}

/** An answer that most questions accept: a choice, by its index, if there are any. */
function goodAnswer(wait: Wait | undefined, choice: number): Json {
  const { choices, answerSchema } = wait === undefined ? {} : shownWait(wait);
  if (choices !== undefined) return choices.at(choice)!;
  return (answerSchema as { type?: string } | undefined)?.type === "number" ? 7 : "yes";
}

/** The refusals that are possible in this state of a run. */
function refusalsOf({ state }: TestRun, { type }: Happening): readonly ErrorReason[] {
  switch (type) {
    case "answer":
    case "answer_well":
    case "answer_last":
      return answerRefusals(openWaitOf(state));
    case "wrong_wait":
      return openWaitOf(state) === undefined ? ["RUN_NOT_WAITING"] : ["WAIT_UNKNOWN"];
    case "pause":
      return hasEnded(state) ? ["RUN_ENDED"] : [];
    case "unpause":
      return state.paused ? [] : ["RUN_NOT_PAUSED"];
    default:
      return [];
  }
}

function answerRefusals(wait: Wait | undefined): readonly ErrorReason[] {
  if (wait === undefined) return ["RUN_NOT_WAITING"];
  return wait.asks === "time" ? ["WAIT_NOT_ANSWERABLE"] : ["ANSWER_INVALID"];
}

function present<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, member]) => member !== undefined)) as never;
}
