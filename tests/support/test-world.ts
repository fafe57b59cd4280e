/**
 * Runs in memory, for tests of core, with the events, the clock and the ledger that the engine and the store would
 * keep. Every transition is checked: its state is the fold of the records, and the invariants of run.ts hold.
 */
import assert from "node:assert/strict";
import { apply } from "../../server/src/core/fold/fold.ts";
import { decide, type Stimulus } from "../../server/src/core/decide.ts";
import type { CallSettlement } from "../../server/src/core/job.ts";
import type { Command, Decision } from "../../server/src/core/decision.ts";
import type { HandlerOutcome, HandlerRequest } from "../../server/src/core/handler-request.ts";
import { addMs, type Instant, parseInstant } from "../../server/src/core/duration.ts";
import {
  type Channel,
  channelKey,
  type ChannelEvent,
  type EventDraft,
  type EventLookup,
  type EventQuery,
  queryMatches,
  type Scope,
  SCOPES,
} from "../../server/src/core/event.ts";
import { channelOf } from "../../server/src/core/channel.ts";
import { canonicalJson, type Json, type JsonObject } from "../../server/src/core/json/json.ts";
import { hasEnded, isActive, type RunState, openWaitOf, callsOf, sequelOf } from "../../server/src/core/run.ts";
import type { CallEnd } from "../../server/src/core/settle-calls.ts";
import { type StartStimulus, startRun } from "../../server/src/core/start-run.ts";
import type { Call } from "../../server/src/core/call.ts";
import type { AnyRecord, RecordOf, StepRecordDraft } from "../../server/src/core/records.ts";
import { compileWorkflow } from "../../server/src/core/compile/workflow.ts";
import type { NodeDefinition, WorkflowDefinition } from "../../server/src/core/graph/definition.ts";
import type { Workflow } from "../../server/src/core/graph/graph.ts";

/** The time at which tests begin. */
export const START_TIME = parseInstant("2026-03-01T09:00:00Z");

const ABOUT_THE_RUN: ReadonlySet<Command["type"]> = new Set(["open_wait", "close_wait", "notice", "consume_event"]);

/** The most transitions of one `settle`: with more, the run can never end. */
const TRANSITIONS_MAX = 10_000;

type WithoutNow<S> = S extends { now: Instant } ? Omit<S, "now"> : never;

export type TestWorld = {
  now: Instant;
  /** Lets time pass. */
  pass(ms: number): void;
  /** Puts an event into its channel; an event with an id that is there already is a duplicate. */
  emit(event: Partial<EventDraft> & Pick<EventDraft, "name">): ChannelEvent;
  lookUp(query: EventQuery): EventLookup;
  lastNumber(channel: Channel): number;
};

export function createTestWorld(): TestWorld {
  const channels = new Map<string, ChannelEvent[]>();
  let emitted = 0;
  const eventsOf = (channel: Channel) => {
    const key = channelKey(channel);
    if (!channels.has(key)) channels.set(key, []);
    return channels.get(key)!;
  };
  const world: TestWorld = {
    now: START_TIME,
    pass(ms) {
      world.now = addMs(world.now, ms);
    },
    emit(draft) {
      const { tenantId = "acme", scope = "global", scopeId = "", ...rest } = draft;
      const events = eventsOf({ tenantId, scope, scopeId });
      const eventId = rest.eventId ?? `event-${++emitted}`;
      const known = events.find((event) => event.eventId === eventId);
      if (known !== undefined) return known;
      const number = (events.at(-1)?.number ?? 0) + 1;
      const event = { key: "", payload: null, emitTime: world.now, ...rest, eventId, number };
      events.push(event);
      return event;
    },
    lookUp(query) {
      const events = eventsOf(query.channel);
      const event = events.find((candidate) => queryMatches(query, candidate));
      return { upTo: events.at(-1)?.number ?? 0, ...(event === undefined ? {} : { event }) };
    },
    lastNumber: (channel) => eventsOf(channel).at(-1)?.number ?? 0,
  };
  return world;
}

/** How an attempt of a call ends. By default it is the current attempt of the effect's first call. */
export type TestEnd = { output: Json } | { failure: Extract<CallEnd["outcome"], { failure: unknown }>["failure"] };
export type TestCallEnd = TestEnd & { ordinal?: number } & Partial<Omit<CallEnd, "outcome">>;

export type TestRun = {
  readonly workflow: Workflow;
  readonly world: TestWorld;
  readonly state: RunState;
  readonly records: readonly AnyRecord[];
  /** What must be done outside of the run. Commands about its waits, and for watchers, are only in `allCommands`. */
  readonly commands: readonly Command[];
  readonly allCommands: readonly Command[];
  /**
   * Makes one transition; the events that it emits are in the world's channels afterwards.
   * @returns the records of this transition
   */
  perform(stimulus: WithoutNow<Stimulus>): readonly AnyRecord[];
  /** Advances while the run is active. */
  settle(): RunState;
  /** Settles calls of the run's current effect in one decision, and goes on. */
  settleCalls(...ends: TestCallEnd[]): RunState;
  /** Answers the open wait and goes on. */
  answer(payload: Json): RunState;
  /** Wakes the run and goes on. */
  wake(): RunState;
};

export type TestStart = {
  world?: TestWorld;
  vars?: JsonObject;
  /** Runs the handlers that decisions request. If it is missing, each handler becomes a job. */
  handler?: (request: HandlerRequest) => HandlerOutcome;
  /** Sees each decision, including the start's, before the next one is made. */
  onDecision?: (stimulus: "start" | Stimulus["type"], decision: Decision) => void;
} & Partial<Omit<StartStimulus, "type" | "now" | "vars">>;

/** A run that has been started but not advanced. */
export function createTestRun(workflow: Workflow, start: TestStart = {}): TestRun {
  const { world = createTestWorld(), vars = {}, onDecision, ...more } = start;
  const { handler = () => ({ type: "unserved" as const }), ...rest } = more;
  const runId = rest.runId ?? "run-1";
  const tenantId = rest.tenantId ?? "acme";
  const scopeIds: Record<Scope, string> = {
    run: runId,
    session: rest.sessionId ?? runId,
    workflow: workflow.workflowId,
    global: "",
  };
  const numbers = SCOPES.map((scope) => [scope, world.lastNumber({ tenantId, scope, scopeId: scopeIds[scope] })]);
  const channels = Object.fromEntries(numbers) as Record<Scope, number>;
  const defaults = { tenantId, runId, labels: {}, limits: {}, paused: false, channels };
  const started = startRun({ type: "start", now: world.now, vars, ...defaults, ...rest }, workflow);
  let { run: state, records } = started;
  const allCommands: Command[] = [];
  let folded = assertState(state, undefined, records);
  onDecision?.("start", started);

  const take = (stimulus: Stimulus["type"], decision: Decision): readonly StepRecordDraft[] => {
    assertTransition(state, decision, world);
    state = decision.run;
    records = [...records, ...decision.records];
    folded = assertState(state, folded, decision.records);
    for (const command of decision.commands) {
      allCommands.push(command);
      if (command.type === "emit") world.emit(command.event);
    }
    onDecision?.(stimulus, decision);
    return decision.records;
  };

  const run: TestRun = {
    workflow,
    world,
    get state() {
      return state;
    },
    get records() {
      return records;
    },
    get commands() {
      return allCommands.filter(({ type }) => !ABOUT_THE_RUN.has(type));
    },
    allCommands,
    perform(stimulus) {
      const before = canonicalJson(state as unknown as Json);
      const found: { handler?: HandlerOutcome; lookup?: EventLookup } = {};
      try {
        for (;;) {
          const decision = decide(state, { ...stimulus, ...found, now: world.now }, workflow);
          if ("runHandler" in decision) {
            assert(found.handler === undefined, "a decision asks for a handler once");
            found.handler = handler(decision.runHandler);
          } else if ("lookUp" in decision) {
            assert(found.lookup === undefined, "a decision asks for events once");
            found.lookup = world.lookUp(decision.lookUp);
          } else return take(stimulus.type, decision);
        }
      } catch (error) {
        assert.equal(canonicalJson(state as unknown as Json), before, "a refusal changes nothing");
        throw error;
      }
    },
    settle() {
      for (let transitions = 0; isActive(state); transitions++) {
        assert(transitions < TRANSITIONS_MAX, "the run can never end");
        const isOver = state.deadlineTime !== undefined && state.deadlineTime <= world.now;
        run.perform({ type: isOver ? "wake" : "advance" });
      }
      return state;
    },
    settleCalls(...ends) {
      run.perform({ type: "settle", ends: ends.map((end) => callEnd(state, end)) });
      return run.settle();
    },
    answer(payload) {
      run.perform({ type: "answer", waitId: openWaitOf(state)!.wait_id, payload });
      return run.settle();
    },
    wake() {
      run.perform({ type: "wake" });
      return run.settle();
    },
  };
  return run;
}

/** The end as a worker sends it. */
export function callEnd(state: RunState, { ordinal = 0, ...end }: TestCallEnd): CallEnd {
  const call = callsOf(state)[ordinal];
  const { output, failure, ...rest } = { output: null, failure: undefined, ...end };
  return {
    idempotencyKey: call?.idempotency_key ?? "none",
    attempt: call?.attempt ?? 1,
    isAtMostOnce: false,
    random: 0.5,
    outcome: failure === undefined ? { output } : { failure },
    ...rest,
  };
}

/** Compiles a graph of these nodes; the first one is the entry. */
export function workflowOf(
  nodes: { [nodeId: string]: NodeDefinition },
  rest: Partial<WorkflowDefinition> = {},
): Workflow {
  return compileWorkflow({ workflowId: "flow", entryNode: Object.keys(nodes)[0]!, nodes, ...rest }, 1);
}

/** Starts a run of these nodes and lets it go as far as it can. */
export function runOf(
  nodes: { [nodeId: string]: NodeDefinition },
  start: TestStart & { workflow?: Partial<WorkflowDefinition> } = {},
): TestRun {
  const { workflow, ...rest } = start;
  const run = createTestRun(workflowOf(nodes, workflow), rest);
  run.settle();
  return run;
}

function assertTransition(before: RunState, decision: Decision, world: TestWorld): void {
  if (hasEnded(before)) assert.equal(decision.records.length, 0, "nothing after an end");
  let seq = before.seq;
  let time = before.updateTime;
  for (const record of decision.records) {
    assert.equal(record.seq, ++seq, "seq is gapless");
    assert(record.time >= time, "time never goes back");
    time = record.time;
  }
  for (const command of decision.commands) {
    // The store refuses such a commit; here nobody else writes.
    if (command.type === "expect_channel") assert.equal(command.upTo, world.lastNumber(command.channel));
    if (command.type === "emit")
      assert.deepEqual(channelOf(before, command.event.scope).scopeId, command.event.scopeId);
    if (command.type === "create_jobs") {
      const intent = decision.records.find(({ kind }) => kind === "step.started") as RecordOf<"step.started">;
      const keys = command.jobs.map((job) => [job.seq, job.idempotency_key]);
      assert.deepEqual(
        keys,
        intent.body.calls.map((call) => [intent.seq, call.idempotency_key]),
        "a job for each call",
      );
    }
    if (command.type === "settle_jobs") assertSettlements(before, decision.run, command.settlements);
  }
  assertFollowed(before, decision);
  const isAboutCalls = decision.records.some(({ kind }) => kind.startsWith("call."));
  const isRetriedAtOnce = decision.commands.some(({ type }) => type === "create_jobs");
  const isSettled = decision.commands.some(({ type }) => type === "settle_jobs");
  assert(!isAboutCalls || isSettled || isRetriedAtOnce, "what is recorded of a call reaches its job");
}

/** Everything that was in flight and no longer is, or is now, is named by a command. */
function assertFollowed(before: RunState, { run: after, records, commands }: Decision): void {
  const opened = openWaitOf(after)?.wait_id;
  const closed = openWaitOf(before)?.wait_id;
  const commandsOf = <T extends Command["type"]>(type: T) =>
    commands.filter((command): command is Extract<Command, { type: T }> => command.type === type);
  assert.deepEqual(
    commandsOf("open_wait").map(({ wait }) => wait.wait_id),
    opened === undefined || opened === closed ? [] : [opened],
    "a wait that opens is said",
  );
  assert.deepEqual(
    commandsOf("close_wait").map(({ waitId }) => waitId),
    closed === undefined || opened === closed ? [] : [closed],
    "a wait that ends is said, with the cause",
  );
  const settled = new Set(
    commandsOf("settle_jobs").flatMap((command) => command.settlements.map((s) => s.idempotencyKey)),
  );
  const kept = new Set(callsOf(after).map((call) => call.idempotency_key));
  const isLeft = (call: Call) => call.outcome === undefined && !kept.has(call.idempotency_key);
  const left = callsOf(before).filter((call) => isLeft(call) && !settled.has(call.idempotency_key));
  assert.equal(
    commandsOf("cancel_jobs").length > 0,
    left.length > 0,
    "calls that are given up are cancelled, no others",
  );
  // Several letters may pause, unpause and cancel a run: after a cancel no job is left that could be held.
  const cancelled = records.findIndex(({ kind }) => kind === "run.cancel_requested" || kind === "run.cancelled");
  const untilCancelled = cancelled === -1 ? records : records.slice(0, cancelled);
  const pauses = untilCancelled.filter(({ kind }) => kind === "run.paused" || kind === "run.unpaused");
  assert.deepEqual(
    commandsOf("hold_jobs").map(({ held }) => held),
    callsOf(before).some((call) => call.outcome === undefined) ? pauses.map(({ kind }) => kind === "run.paused") : [],
    "jobs are held back while their run is paused",
  );
  const ends = { "run.completed": "completed", "run.failed": "failed", "run.cancelled": "cancelled" } as const;
  const end = records.at(-1)?.kind;
  if (end !== undefined && end in ends) {
    assert.equal(commandsOf("notice").at(-1)?.kind, ends[end as keyof typeof ends], "watchers are told of the end");
  }
}

function assertSettlements(before: RunState, after: RunState, settlements: readonly CallSettlement[]): void {
  assert(settlements.length > 0, "a command has something to say");
  const lastByKey = new Map(settlements.map((settlement) => [settlement.idempotencyKey, settlement]));
  for (const { idempotencyKey, retry } of lastByKey.values()) {
    const isIt = (call: Call) => call.idempotency_key === idempotencyKey;
    assert(
      callsOf(before).find(isIt)?.outcome === undefined && callsOf(before).some(isIt),
      "only calls in flight settle",
    );
    const call = callsOf(after).find(isIt);
    if (retry === undefined) assert(call === undefined || call.outcome !== undefined, "a settled call has come back");
    else assert.deepEqual([call?.attempt, call?.retry_time], [retry.attempt, retry.dueTime], "a retry is in the state");
  }
}

/** Checks the invariants of run.ts and promise 9: the state is the fold of the ledger. Returns the fold. */
function assertState(state: RunState, before: RunState | undefined, records: readonly StepRecordDraft[]): RunState {
  assert.equal(openWaitOf(state) !== undefined, state.status === "waiting", "a wait exactly while waiting");
  assert(callsOf(state).length === 0 || state.status === "running", "calls only while running");
  const isInFlight = callsOf(state).some(({ outcome }) => outcome === undefined);
  assert(callsOf(state).length === 0 || isInFlight, "calls only until all have come back");
  const isAtEffect = openWaitOf(state) !== undefined || callsOf(state).length > 0;
  assert(sequelOf(state) === undefined || isAtEffect, "a sequel only beside a wait or calls");
  assert.equal(state.endTime !== undefined, hasEnded(state), "an end time exactly at the end");
  assert(!(hasEnded(state) && state.paused), "a run that has ended is not paused");
  assert(!state.cancelling || !hasEnded(state) || state.status === "cancelled", "what ends a cancelled run ends it so");
  assert(state.output === undefined || state.status === "completed", "an output only of a completed run");
  // From their text, as the records would be read from the store.
  const read = JSON.parse(JSON.stringify(records)) as StepRecordDraft[];
  const folded = read.reduce<RunState | undefined>((run, record) => apply(run, record), before);
  assert.equal(
    canonicalJson(folded as unknown as Json),
    canonicalJson(state as unknown as Json),
    "fold(ledger) == state",
  );
  return folded!;
}
