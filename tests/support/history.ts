/**
 * Histories: stories of runs as text, `server/src/core/testdata/*.txt`. A file is a list of commands. What came of a
 * command is below it, after a line `----`:
 *
 *   # Comments and empty lines stand between commands.
 *   answer { payload: { answer: yes }, actorId: bob }
 *   ----
 *   answer
 *     3 step.completed ask, by bob, given { answer: "yes" }, result { ... }, sets /reply, -> end
 *     > close_wait wait-2 by answer; notice resumed 3
 *   advance
 *     4 run.completed end, step completed, output "yes"
 *     > notice completed 4
 *   = completed at end, 2 steps, output "yes"
 *
 * After each command the run goes on until it rests. A line without an indent names a transition. Below it are its
 * records (seq, kind, node, facts) and, after `>`, the commands of the decision. After `=` comes the state, and below
 * it the vars that changed. Ids that are hashes are shown by the seq of their record: `wait-2`, `key-5.0`.
 *
 * The commands are the stimuli, and `workflow`, `start`, `emit`, `pass` and `handler` (the outcome of the next one).
 * What a command takes is YAML; `!large 1000` is a text of that many characters.
 */
import assert from "node:assert/strict";
import { parse } from "yaml";
import { type Call, callResults } from "../../server/src/core/call.ts";
import { channelOf } from "../../server/src/core/channel.ts";
import type { Stimulus } from "../../server/src/core/decide.ts";
import type { Command, Decision } from "../../server/src/core/decision.ts";
import { parseDurationMs, parseInstant } from "../../server/src/core/duration.ts";
import { DomainError } from "../../server/src/core/errors.ts";
import type { EventDraft } from "../../server/src/core/event.ts";
import type { Failure } from "../../server/src/core/failure.ts";
import { apply } from "../../server/src/core/fold/fold.ts";
import { resultOf } from "../../server/src/core/fold/step-end.ts";
import type { WorkflowDefinition } from "../../server/src/core/graph/definition.ts";
import type { Workflow } from "../../server/src/core/graph/graph.ts";
import type { HandlerOutcome } from "../../server/src/core/handler-request.ts";
import { deepEqual, type Json, type JsonObject } from "../../server/src/core/json/json.ts";
import type { Letter } from "../../server/src/core/mail.ts";
import type { PatchOp } from "../../server/src/core/json/pointer.ts";
import type { RecordBody, StepRecordDraft } from "../../server/src/core/records.ts";
import { callsOf, openWaitOf, type RunState } from "../../server/src/core/run.ts";
import type { Wait } from "../../server/src/core/wait.ts";
import {
  callEnd,
  createTestRun,
  createTestWorld,
  type TestCallEnd,
  type TestRun,
  type TestStart,
  workflowOf,
} from "./test-world.ts";

const SEPARATOR = "----";
/** Columns of a line. A part without a comma that is longer has a line to itself. */
const COLUMNS_MAX = 118;
/** The most characters of a text that are shown. */
const TEXT_CHARS_MAX = 100;

/** Plays a history and returns its text with what comes of each command now. Equal to `text` if nothing has changed.
 *  @throws {Error} if a command is not known, or the file has none */
export function playHistory(text: string): string {
  const history = new History();
  const played: string[] = [];
  let commands = 0;
  const lines = text.replace(/\n$/, "").split("\n");
  for (let at = 0; at < lines.length;) {
    if (lines[at] === "" || lines[at]!.startsWith("#")) {
      played.push(lines[at++]!);
      continue;
    }
    const end = lines.indexOf("", at);
    const block = lines.slice(at, end === -1 ? lines.length : end);
    const separator = block.indexOf(SEPARATOR);
    const command = separator === -1 ? block : block.slice(0, separator);
    played.push(...command, SEPARATOR, ...history.do(command.join("\n")));
    commands++;
    at += block.length;
  }
  assert(commands > 0, "a history has a command");
  assert(history.handlersLeft === 0, "every outcome of a handler is asked for");
  return `${played.join("\n")}\n`;
}

/** What is played so far: one workflow and one run of it. */
class History {
  readonly #world = createTestWorld();
  readonly #handlers: HandlerOutcome[] = [];
  #workflow: Workflow | undefined;
  #run: TestRun | undefined;
  /** The lines of the transitions since the last command. */
  #transitions: string[] = [];
  /** The fold of the records that were shown. */
  #shown: RunState | undefined;
  /** How hashes are shown. */
  readonly #names = new Map<string, string>();

  /** Outcomes of handlers that were not used yet. */
  get handlersLeft(): number {
    return this.#handlers.length;
  }

  /** Carries out one command. @returns the lines of its outcome */
  do(command: string): string[] {
    const [name] = /^\S+/.exec(command)!;
    const given = parse(command.slice(name.length), { customTags: [LARGE_TEXT] }) as Json;
    const varsBefore = this.#shown?.vars ?? {};
    this.#transitions = [];
    let lines: string[];
    try {
      lines = this.#carryOut(name, given);
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      const problems = error.problems.map(({ path, message }) => `  ${path}: ${message}`);
      lines = [`refused: ${error.reason}: ${error.message}`, ...problems];
    }
    const transitions = this.#transitions;
    if (transitions.length > 0) lines.push(stateLine(this.#shown!), ...varLines(varsBefore, this.#shown!, transitions));
    return [...transitions, ...lines].flatMap((line) => wrap(this.#readable(line)));
  }

  #carryOut(name: string, given: Json): string[] {
    if (Object.hasOwn(STIMULI, name)) {
      this.#running.perform(STIMULI[name as Stimulus["type"]](given, this.#running.state));
      // A step by hand is exactly one step.
      if (name !== "advance") this.#running.settle();
      return [];
    }
    switch (name) {
      case "workflow": {
        const { nodes = {}, ...rest } = given as unknown as Partial<WorkflowDefinition>;
        this.#workflow = workflowOf(nodes, rest);
        return [`flow begins at ${this.#workflow.entryNode}`];
      }
      case "start":
        this.#start((given ?? {}) as TestStart);
        return [];
      case "handler": {
        this.#handlers.push(given as unknown as HandlerOutcome);
        return [`${this.#handlers.length} to come`];
      }
      case "emit": {
        const event = given as unknown as EventDraft;
        const scope = event.scope ?? "run";
        const channel = this.#run === undefined ? { scope } : channelOf(this.#run.state, scope);
        const { number } = this.#world.emit({ ...channel, ...event });
        return [`event ${number} of ${scope}`];
      }
      case "pass":
        this.#world.pass(parseDurationMs(given as string));
        return [`it is ${this.#world.now}`];
      default:
        throw new Error(`a history has no command ${name}`);
    }
  }

  #start({ startAt, ...start }: TestStart): void {
    assert(this.#workflow !== undefined && this.#run === undefined, "a history starts one run of its workflow");
    this.#run = createTestRun(this.#workflow, {
      ...start,
      ...(startAt === undefined ? {} : { startAt: parseInstant(startAt) }),
      world: this.#world,
      handler: ({ nodeId }) => {
        const outcome = this.#handlers.shift() ?? { type: "unserved" };
        this.#transitions.push(`the handler of ${nodeId} is run: ${outcome.type}`);
        return { ...(outcome.type === "failed" ? { random: 0.5 } : {}), ...outcome };
      },
      onDecision: (stimulus, decision) => this.#show(stimulus, decision),
    });
    this.#run.settle();
  }

  get #running(): TestRun {
    assert(this.#run !== undefined, "the run has not been started");
    return this.#run;
  }

  #show(stimulus: string, { records, commands }: Decision): void {
    this.#transitions.push(stimulus);
    if (records.length === 0 && commands.length === 0) this.#transitions.push("  nothing changes");
    for (const record of records) {
      this.#name(record);
      this.#transitions.push(recordLine(record, this.#shown));
      this.#shown = apply(this.#shown, record);
    }
    const said = commands.map((command) => COMMANDS[command.type](command as never));
    if (said.length > 0) this.#transitions.push(`  > ${said.join("; ")}`);
  }

  #name({ seq, idempotency_key, body }: StepRecordDraft): void {
    const { wait, calls = [] } = body as RecordBody;
    if (wait !== undefined) this.#names.set(wait.wait_id, `wait-${seq}`);
    for (const call of calls) this.#names.set(call.idempotency_key, `key-${seq}.${call.ordinal}`);
    if (idempotency_key !== undefined && !this.#names.has(idempotency_key))
      this.#names.set(idempotency_key, `key-${seq}`);
  }

  /** Replaces hashes by their names, and times by what a history needs of them. */
  #readable(line: string): string {
    return line
      .replaceAll(/\b[a-z2-7]{26}(?:[a-z2-7]{26})?\b/g, (id) => this.#names.get(id) ?? id)
      .replaceAll(/(T\d\d:\d\d:\d\d)\.000000Z/g, "$1Z");
  }
}

const LARGE_TEXT = { tag: "!large", resolve: (chars: string) => "x".repeat(Number(chars)) };

type StimulusWithoutNow = Parameters<TestRun["perform"]>[0];

/** The commands that are stimuli. */
const STIMULI: { [T in Stimulus["type"]]: (given: Json, state: RunState) => StimulusWithoutNow } = {
  advance: () => ({ type: "advance" }),
  wake: () => ({ type: "wake" }),
  /** The open wait, unless the command has a `waitId`. */
  answer: (given, state) => {
    const { payload, ...rest } = given as { payload: Json };
    return { type: "answer", waitId: openWaitOf(state)?.wait_id ?? "wait-1", payload, ...rest };
  },
  /** Ends of calls, by their ordinals. */
  settle: (given, state) => ({
    type: "settle",
    ends: ((Array.isArray(given) ? given : [given]) as TestCallEnd[]).map((end) => callEnd(state, end)),
  }),
  mail: (given) => ({
    type: "mail",
    letters: (given as (Pick<Letter, "kind"> & Partial<Letter>)[]).map(({ kind, body = {} }) => ({ kind, body })),
  }),
  cancel: (given) => ({ type: "cancel", ...(given as object | null) }),
  pause: (given) => ({ type: "pause", ...(given as object | null) }),
  unpause: (given) => ({ type: "unpause", ...(given as object | null) }),
  fail: (given) => ({ type: "fail", failure: { retryable: false, ...(given as { code: string; message: string }) } }),
};

/** How the commands of a decision are shown. */
export const COMMANDS: { [T in Command["type"]]: (command: Extract<Command, { type: T }>) => string } = {
  open_wait: ({ wait }) => `open_wait ${wait.wait_id}`,
  close_wait: ({ waitId, by, requestId }) =>
    `close_wait ${waitId} by ${by}${requestId === undefined ? "" : ` of request ${requestId}`}`,
  notice: ({ kind, seq }) => `notice ${kind} ${seq}`,
  create_jobs: ({ jobs }) =>
    `create_jobs ${jobs
      .map(({ idempotency_key, kind, name, attempt, losses, dueTime, timeoutMs }) => {
        const tried = attempt === undefined ? "" : ` attempt ${attempt} at ${dueTime}`;
        const lost = losses === undefined ? "" : ` losses ${losses}`;
        return `${idempotency_key} ${kind} ${name}${tried}${lost} timeout ${timeoutMs / 1000}s`;
      })
      .join(", ")}`,
  settle_jobs: ({ settlements }) =>
    `settle_jobs ${settlements
      .map(({ idempotencyKey, retry }) => {
        const next = retry === undefined ? "" : ` retry ${retry.attempt} at ${retry.dueTime}`;
        return `${idempotencyKey}${next}`;
      })
      .join(", ")}`,
  cancel_jobs: () => "cancel_jobs",
  hold_jobs: ({ held }) => (held ? "hold_jobs" : "hold_jobs no longer"),
  emit: ({ event }) => `emit ${event.name} to ${event.scope}`,
  consume_event: ({ channel, eventId }) => `consume_event ${eventId} of ${channel.scope}`,
  expect_channel: ({ channel, upTo }) => `expect_channel ${channel.scope} up to ${upTo}`,
};

/** How the facts of a record are shown, in this order. `undefined`: shown elsewhere, or not at all. */
const FACTS: {
  [K in keyof RecordBody]-?: (value: NonNullable<RecordBody[K]>, record: StepRecordDraft) => string | undefined;
} = {
  // The kind says it of steps.
  status: (status, { kind }) => (kind.startsWith("run.") ? `step ${status}` : undefined),
  start: ({ workflow_id, version, limits }) =>
    `${workflow_id} v${version}${Object.keys(limits).length === 0 ? "" : ` limits ${show(limits)}`}`,
  paused: () => "paused",
  effect: ({ type, payload }) => (Object.keys(payload).length === 0 ? undefined : `${type} ${show(payload)}`),
  wait: (wait) => waitText(wait),
  calls: (calls) => `calls ${calls.map(({ idempotency_key, name }) => `${idempotency_key} ${name}`).join(", ")}`,
  call: ({ ordinal, next_attempt, retry_time }) =>
    `call ${ordinal}${next_attempt === undefined ? "" : `, attempt ${next_attempt} at ${retry_time}`}`,
  error: failureText,
  patch: (ops, { kind }) =>
    kind === "run.started" || ops.length === 0 ? undefined : ops.map(operationText).join(", "),
  // Shown by its value.
  result: () => undefined,
  output: (output) => ("of" in output ? "output is the result" : `output ${show(output.value)}`),
  cursors: (cursors) => cursors.map(({ scope, name, number }) => `cursor of ${scope} ${name} at ${number}`).join(", "),
  sequel: ({ to, result_path, failure_is_error }) =>
    `then ${to === undefined ? "the end" : `-> ${to}`}${result_path === undefined ? "" : ` with ${result_path}`}` +
    (failure_is_error ? ", failures are errors" : ""),
  deadline_time: (time) => `deadline ${time}`,
  reason: (reason) => `reason ${show(reason)}`,
  request_id: (id) => `request ${id}`,
  to: (node) => `-> ${node}`,
  handled_by: () => "as the workflow's on_error",
};

function recordLine(record: StepRecordDraft, before: RunState | undefined): string {
  const { seq, kind, node_id, attempt, actor_id, given } = record;
  const body = record.body as RecordBody;
  const value = given === undefined ? undefined : (JSON.parse(given) as Json);
  const calls = before === undefined ? [] : callsOf(before);
  const result = resultOf(body, value, callResults(calls));
  const facts = (Object.keys(FACTS) as (keyof RecordBody)[]).flatMap((key) =>
    body[key] === undefined ? [] : (FACTS[key](body[key] as never, record) ?? []),
  );
  const about = [
    ...(node_id === undefined ? [] : [node_id]),
    ...(actor_id === undefined ? [] : [`by ${actor_id}`]),
    ...(attempt === undefined ? [] : [`attempt ${attempt}`]),
    ...(value === undefined ? [] : [`given ${show(value)}`]),
    ...(result === undefined ? [] : [resultText(result)]),
    ...facts,
  ];
  return `  ${seq} ${kind} ${about.join(", ")}`.trimEnd();
}

function stateLine(state: RunState): string {
  const { status, node, steps, paused, cancelling, handlingError, inFlight, output, error } = state;
  const wait = openWaitOf(state);
  assert(inFlight?.at !== "function", "no record begins a function yet");
  const about = [
    `= ${status} at ${node}`,
    `${steps} ${steps === 1 ? "step" : "steps"}`,
    ...(paused ? ["paused"] : []),
    ...(cancelling && state.endTime === undefined ? ["cancelling"] : []),
    ...(handlingError ? ["handling an error"] : []),
    ...(wait === undefined ? [] : [`${wait.asks} ${wait.wait_id}`]),
    ...callsOf(state).map(callText),
    ...(output === undefined ? [] : [`output ${show(output)}`]),
    ...(error === undefined ? [] : [`error ${error.code} of ${error.node_id}`]),
  ];
  return about.join(", ");
}

/** Shows what changed in vars. A result that was just shown is not shown again. */
function varLines(before: Json, { vars }: RunState, transitions: readonly string[]): string[] {
  const [old, now] = [before as JsonObject, vars as JsonObject];
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])];
  return names.flatMap((name) => {
    const value = now[name];
    if (value === undefined) return [`  no vars.${name}`];
    if (old[name] !== undefined && deepEqual(old[name], value)) return [];
    const isResult = transitions.some((line) => line.includes(resultText(value)));
    return [`  vars.${name} ${isResult ? "is the result" : `= ${show(value)}`}`];
  });
}

function resultText(result: Json): string {
  return `result ${show(result)}`;
}

function waitText(wait: Wait): string {
  const due = wait.due_time === undefined ? "" : ` until ${wait.due_time}`;
  const id = wait.wait_id;
  switch (wait.asks) {
    case "question":
      return `${id} asks ${show(wait.prompt)}${wait.choices === undefined ? "" : ` ${show(wait.choices)}`}${due}`;
    case "approval":
      return `${id} asks for approval ${show(wait.prompt)}${due}`;
    case "time":
      return `${id} waits${due}`;
    case "event":
      return `${id} waits for ${wait.names.join(" or ")} of ${wait.scope}${due}`;
  }
}

function callText({ ordinal, name, attempt, retry_time, outcome }: Call): string {
  const ended = outcome === undefined ? "in flight" : "error" in outcome ? `failed: ${outcome.error.code}` : "done";
  const tried = attempt === undefined ? "" : `, attempt ${attempt}`;
  return `call ${ordinal} ${name} (${ended}${tried}${retry_time === undefined ? "" : ` at ${retry_time}`})`;
}

function failureText({ code, message, retryable }: Failure): string {
  return `${retryable ? "retryable " : ""}error ${code} ${show(message)}`;
}

function operationText({ op, path }: PatchOp): string {
  return `${{ set: "sets", append: "appends to", unset: "unsets" }[op]} ${path || "everything"}`;
}

/** Writes JSON with unquoted names. Of a long text it shows the beginning and the length. */
function show(value: Json): string {
  if (typeof value === "string" && value.length > TEXT_CHARS_MAX) {
    return JSON.stringify(`${value.slice(0, 10)}… of ${value.length} characters`);
  }
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(show).join(", ")}]`;
  const members = Object.entries(value).map(([name, member]) => `${name}: ${show(member)}`);
  return members.length === 0 ? "{}" : `{ ${members.join(", ")} }`;
}

/** Breaks a line after commas and semicolons, at this many columns. */
function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const part of text.split(/(?<=[,;]) /)) {
    if (line !== "" && line.length + 1 + part.length > COLUMNS_MAX) {
      lines.push(line);
      line = `      ${part}`;
    } else line = line === "" ? part : `${line} ${part}`;
  }
  return [...lines, line];
}
