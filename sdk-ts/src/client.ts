/** The client: registers workflows; starts, answers, watches and controls their runs. */
import { ScopeSchema } from "@abstractruntime/proto/event_pb";
import type { LimitsSchema } from "@abstractruntime/proto/limits_pb";
import { type EmitEventRequest, RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import { WaitReason as WaitReasonNumber, WaitReasonSchema } from "@abstractruntime/proto/wait_pb";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { v7 as uuidv7 } from "uuid";
import { readAddresses } from "./addresses.ts";
import { type ConnectedWorkers, createConnectedWorkers } from "./connected-workers.ts";
import { type CallOptions, type Connection, createConnection, type HoldOptions } from "./connection.ts";
import { asyncDispose } from "./dispose.ts";
import { numberOf } from "./enum-names.ts";
import { RefusedError, RunCancelledError, RunFailedError } from "./errors.ts";
import { given } from "./given.ts";
import { type Json, type JsonObject, jsonObjectOf, jsonOf, valueOfJson } from "./json.ts";
import { createLedger, type Ledger } from "./ledger.ts";
import { type Run, runOfMessage, type RunReference } from "./run.ts";
import { createRuns, runIdOf, type Runs } from "./runs.ts";
import { durationOf, timestampOf } from "./time.ts";
import type { WaitReason } from "./wait.ts";
import { createWaits, type Waits } from "./waits.ts";
import type { Limits, Workflow } from "./workflow.ts";
import { createWorkflows, type RegisteredWorkflow, type Workflows } from "./workflows.ts";

export type ClientOptions = {
  /** The base URLs of the servers. Servers are equal; if one does not answer, the client asks the next. Default: the
   *  environment variable ABSTRACTRUNTIME_URL (separated by commas), else `http://127.0.0.1:7400`. */
  addresses?: string | readonly string[] | undefined;
  /** Who the client says it is; recorded with starts, answers, events and cancels. Do not use e-mail addresses: ids are
   *  never erased. */
  actorId?: string | undefined;
  /** Your own transport, instead of the addresses. */
  transport?: Transport | undefined;
  /** How long a call may take including its retries. Default 30,000 ms. Waiting for a run does not count: however long
   *  it takes, no request waits longer than proxies allow. */
  deadlineMs?: number | undefined;
  /** How long one attempt may take before the next server is asked. Default 10,000 ms. */
  attemptTimeoutMs?: number | undefined;
  /** How long a stream may be silent before it is opened again. Default 30,000 ms; servers send something about every
   *  10 s. */
  silenceTimeoutMs?: number | undefined;
};

export type StartOptions = CallOptions & {
  /** The id of the run. Default: a UUIDv7. To repeat a start with the same id and request returns the run of the first
   *  start. */
  runId?: string | undefined;
  /** The group of runs that the run belongs to, such as a conversation. */
  sessionId?: string | undefined;
  /** Names and values to find the run by; at most 64. */
  labels?: Readonly<Record<string, string>> | undefined;
  /** Each limit that is given replaces the workflow's. */
  limits?: Limits | undefined;
  /** Whether the run starts paused. Default false. */
  paused?: boolean | undefined;
  /** When the run takes its first step. Default: at once. */
  startAt?: Date | string | undefined;
  /** Default: the client's. */
  actorId?: string | undefined;
};

export type AwaitOptions = CallOptions & {
  /** The kinds of wait at which to return. A run that has ended always returns. With an empty list, only the end does.
   *  Default: `user`, a question to a person. */
  reasons?: readonly Exclude<WaitReason, "unknown">[] | undefined;
  /** After how long to return the run as it is then. Default: no limit. */
  timeoutMs?: number | undefined;
};

export type RespondOptions = CallOptions & {
  /** The id of the answer. Default: a UUIDv7. To repeat the same answer with the same id returns the same reply. */
  requestId?: string | undefined;
  /** The wait to answer. Default: the run's open question. */
  waitId?: string | undefined;
  /** Who answers. Default: the client's. */
  actorId?: string | undefined;
};

export type OutsideEvent = {
  name: string;
  /** The key by which waits select the event, such as an order id. */
  key?: string | undefined;
  /** Any JSON. Default null. */
  payload?: unknown;
  /** The id by which the channel recognises a repeated event. Default: a UUIDv7. */
  eventId?: string | undefined;
  /** Who emits it. Default: the client's. */
  actorId?: string | undefined;
} & ( // How far it reaches.
  | { runId: string; sessionId?: never; workflowId?: never; scope?: "run" }
  | { sessionId: string; runId?: never; workflowId?: never; scope?: "session" }
  | { workflowId: string; runId?: never; sessionId?: never; scope?: "workflow" }
  | { scope: "global"; runId?: never; sessionId?: never; workflowId?: never }
);

export type ControlOptions = CallOptions & {
  /** Why, for people who read the ledger; at most 1,024 characters. */
  reason?: string | undefined;
  /** Default: the client's. */
  actorId?: string | undefined;
};

/**
 * A client of one or several equal servers. It makes the ids of runs, answers and events itself. So it can send every
 * request that the contract calls safe again until the deadline, and nothing is done twice.
 *
 * Every call may throw `RefusedError` (the server refused it), `ConnectionError` (no server answered in time), or the
 * reason of its signal. Each method lists its own refusals.
 *
 * `await using client = new Client()` closes it at the end of the block.
 */
export class Client implements AsyncDisposable {
  readonly runs: Runs;
  readonly waits: Waits;
  readonly workflows: Workflows;
  readonly ledger: Ledger;
  readonly workers: ConnectedWorkers;
  readonly #connection: Connection;
  readonly #actorId: string;
  readonly #registered = new WeakMap<Workflow, RegisteredWorkflow>();
  readonly #registering = new WeakMap<Workflow, Promise<RegisteredWorkflow>>();

  /** The client connects with its first call.
   *  @throws {TypeError} if there is no address, or an address is not an http or https URL */
  constructor(options: ClientOptions = {}) {
    this.#actorId = options.actorId ?? "";
    this.#connection = createConnection({ ...options, addresses: readAddresses(options.addresses) });
    const context = { connection: this.#connection, actorId: this.#actorId };
    this.runs = createRuns(context);
    this.waits = createWaits(context);
    this.workflows = createWorkflows(context);
    this.ledger = createLedger(context);
    this.workers = createConnectedWorkers(context);
  }

  /** Registers a workflow, once for each client: later calls return the first reply.
   *  @throws {RefusedError} WORKFLOW_INVALID, with every problem and its path */
  async register(workflow: Workflow, options: CallOptions = {}): Promise<RegisteredWorkflow> {
    const known = this.#registered.get(workflow);
    if (known !== undefined) return known;
    const { signal, deadlineMs } = options;
    // Concurrent calls share one request, except calls with a signal or a deadline of their own.
    const isShared = signal === undefined && deadlineMs === undefined;
    const shared = isShared ? this.#registering.get(workflow) : undefined;
    const registering = shared ?? this.workflows.register(workflow, { signal, deadlineMs });
    if (isShared) this.#registering.set(workflow, registering);
    try {
      const registered = await registering;
      this.#registered.set(workflow, registered);
      return registered;
    } finally {
      if (isShared) this.#registering.delete(workflow);
    }
  }

  /** Starts a run. A `Workflow` is registered first, and the run uses exactly that version; an id starts the workflow
   *  with that id.
   *  @param options.version only with an id. Default: the current version
   *  @throws {RefusedError} VARS_INVALID, RUN_EXISTS, WORKFLOW_ARCHIVED, WORKFLOW_UNKNOWN, VERSION_UNKNOWN,
   *  WORKFLOW_INVALID */
  async start<Vars, Output, StartVars>(
    workflow: Workflow<Vars, Output, StartVars>,
    vars: StartVars,
    options?: StartOptions,
  ): Promise<Run<Vars, Output>>;
  async start(workflowId: string, vars?: object, options?: StartOptions & { version?: number }): Promise<Run>;
  async start(
    workflow: Workflow | string,
    vars: unknown = {},
    options: StartOptions & { version?: number } = {},
  ): Promise<Run<unknown, unknown>> {
    // Read before anything is sent, because vars that are not JSON throw here.
    const { signal, deadlineMs, limits, startAt } = options;
    const facts = {
      runId: options.runId ?? uuidv7(),
      vars: jsonObjectOf(vars, "vars"),
      sessionId: options.sessionId ?? "",
      actorId: options.actorId ?? this.#actorId,
      labels: { ...options.labels },
      paused: options.paused ?? false,
      ...given({
        limits: limits satisfies MessageInitShape<typeof LimitsSchema> | undefined,
        startAt: startAt === undefined ? undefined : timestampOf(startAt, "startAt"),
      }),
    };
    const { workflowId, version } =
      typeof workflow === "string"
        ? { workflowId: workflow, version: options.version ?? 0 }
        : await this.register(workflow, { signal, deadlineMs });
    const request = { ...facts, workflowId, version };
    const call = { signal, deadlineMs, retry: true };
    const reply = await this.#connection.unary(RuntimeService.method.startRun, request, call);
    return runOfMessage(reply.run);
  }

  /** Starts a run, and returns it after it has ended or when it waits for a person. Its `status` says which.
   *
   *  ```ts
   *  const run = await client.run(expense, { amount: 120 });
   *  if (run.status === "waiting") await client.respond(run, "yes");
   *  const { paid } = await client.result(run);
   *  ```
   *
   *  `reasons` and `timeoutMs` mean the same as for `awaitRun`.
   *  @throws {RefusedError} as `start` */
  async run<Vars, Output, StartVars>(
    workflow: Workflow<Vars, Output, StartVars>,
    vars: StartVars,
    options?: StartOptions & AwaitOptions,
  ): Promise<Run<Vars, Output>>;
  async run(
    workflowId: string,
    vars?: object,
    options?: StartOptions & AwaitOptions & { version?: number },
  ): Promise<Run>;
  async run(
    workflow: Workflow | string,
    vars: object = {},
    options: StartOptions & AwaitOptions & { version?: number } = {},
  ): Promise<Run<unknown, unknown>> {
    const run =
      typeof workflow === "string"
        ? await this.start(workflow, vars, options)
        : await this.start(workflow, vars, options);
    return isAtRest(run, options.reasons ?? ["user"]) ? run : this.#awaitRun(run.runId, options);
  }

  /** Returns a run after it has ended or when it waits for a person; after `timeoutMs`, returns it as it is then.
   *  @throws {RefusedError} RUN_UNKNOWN */
  async awaitRun<Output = Json>(
    run: string | RunReference<Output>,
    options: AwaitOptions = {},
  ): Promise<Run<JsonObject, Output>> {
    return this.#awaitRun<JsonObject, Output>(runIdOf(run), options);
  }

  /** Waits until a run has ended, and returns its output. While the run waits for a person, this waits too.
   *  @throws {RunFailedError} if the run ended FAILED
   *  @throws {RunCancelledError} if the run was cancelled
   *  @throws {RefusedError} RUN_UNKNOWN */
  async result<Output = Json>(run: string | RunReference<Output>, options: CallOptions = {}): Promise<Output> {
    const ended = await this.#awaitRun<JsonObject, Output>(runIdOf(run), { ...options, reasons: [] });
    switch (ended.status) {
      case "completed":
        return ended.output;
      case "failed":
        throw new RunFailedError(ended.runId, ended.error);
      case "cancelled":
        throw new RunCancelledError(ended.runId);
      case "running":
      case "waiting":
        throw new Error(`run ${ended.runId} has not ended`);
    }
  }

  /** Answers the question that a run asks a person: the payload is `{ answer }`. Returns the run as it is when the
   *  answer is accepted; the run goes on from there (`awaitRun`, `result`).
   *  @param answer any JSON: one of the question's choices, or what its schema accepts
   *  @throws {RefusedError} RUN_NOT_WAITING if the run asks nothing, RUN_ENDED, ANSWER_INVALID, WAIT_ALREADY_ANSWERED,
   *  RUN_UNKNOWN */
  async respond<Output = Json>(
    run: string | RunReference<Output>,
    answer: unknown,
    options: RespondOptions = {},
  ): Promise<Run<JsonObject, Output>> {
    const { signal, deadlineMs, requestId = uuidv7(), actorId = this.#actorId } = options;
    const runId = runIdOf(run);
    const payload = valueOfJson({ answer: jsonOf(answer) });
    const waitId = options.waitId ?? (await this.#openQuestion(runId, { signal, deadlineMs }));
    const request = { runId, waitId, payload, requestId, actorId };
    const call = { signal, deadlineMs, retry: true };
    const reply = await this.#connection.unary(RuntimeService.method.resumeRun, request, call);
    return runOfMessage(reply.run);
  }

  /** Emits an event to one run, to the runs of a session or a workflow, or to all runs (`scope: "global"`).
   *
   *  `client.emit({ name: "order.paid", workflowId: "order", key: "A-17", payload: { amount: 12 } })`
   *  @returns the event's id, and how many waits have received it so far
   *  @throws {RefusedError} RUN_UNKNOWN, RUN_ENDED, WORKFLOW_UNKNOWN */
  async emit(event: OutsideEvent, options: CallOptions = {}): Promise<{ eventId: string; delivered: number }> {
    const request = {
      name: event.name,
      scope: numberOf(ScopeSchema, scopeOf(event)),
      target: targetOf(event),
      key: event.key ?? "",
      payload: valueOfJson(event.payload === undefined ? null : jsonOf(event.payload)),
      eventId: event.eventId ?? uuidv7(),
      actorId: event.actorId ?? this.#actorId,
    };
    const reply = await this.#connection.unary(RuntimeService.method.emitEvent, request, { ...options, retry: true });
    return { eventId: reply.eventId, delivered: reply.delivered };
  }

  /** Cancels a run: its `onCancel` node runs, then the run ends CANCELLED. Returns a run that has already ended as it
   *  is.
   *  @throws {RefusedError} RUN_UNKNOWN */
  async cancel<Output = Json>(
    run: string | RunReference<Output>,
    { reason = "", actorId = this.#actorId, ...options }: ControlOptions = {},
  ): Promise<Run<JsonObject, Output>> {
    const request = { runId: runIdOf(run), reason, actorId };
    const reply = await this.#connection.unary(RuntimeService.method.cancelRun, request, { ...options, retry: true });
    return runOfMessage(reply.run);
  }

  /** Pauses a run: it takes no further steps and its timers stop; events and answers are kept.
   *  @throws {RefusedError} RUN_UNKNOWN, RUN_ENDED */
  async pause<Output = Json>(
    run: string | RunReference<Output>,
    { reason = "", actorId = this.#actorId, ...options }: ControlOptions = {},
  ): Promise<Run<JsonObject, Output>> {
    const request = { runId: runIdOf(run), reason, actorId };
    const reply = await this.#connection.unary(RuntimeService.method.pauseRun, request, { ...options, retry: true });
    return runOfMessage(reply.run);
  }

  /** Lets a paused run go on.
   *  @throws {RefusedError} RUN_UNKNOWN, RUN_NOT_PAUSED */
  async unpause<Output = Json>(
    run: string | RunReference<Output>,
    { actorId = this.#actorId, ...options }: Omit<ControlOptions, "reason"> = {},
  ): Promise<Run<JsonObject, Output>> {
    let mayBeDone = false;
    const onUnknownOutcome = (): void => {
      mayBeDone = true;
    };
    const request = { runId: runIdOf(run), actorId };
    try {
      const call = { ...options, retry: true, onUnknownOutcome };
      const reply = await this.#connection.unary(RuntimeService.method.unpauseRun, request, call);
      return runOfMessage(reply.run);
    } catch (error) {
      // By the contract, RUN_NOT_PAUSED after a lost first attempt may mean that the first attempt succeeded.
      if (!(mayBeDone && error instanceof RefusedError && error.reason === "RUN_NOT_PAUSED")) throw error;
      return this.runs.get(run, options);
    }
  }

  /** Does at once what is due for a run. A paused run takes up to `maxSteps` steps and stays paused. The client does
   *  not send a tick again, because a paused run might then step twice.
   *  @param options.maxSteps default 1, at most 1,000
   *  @throws {RefusedError} RUN_UNKNOWN, RUN_ENDED */
  async tick<Output = Json>(
    run: string | RunReference<Output>,
    { maxSteps = 1, ...options }: CallOptions & { maxSteps?: number } = {},
  ): Promise<Run<JsonObject, Output>> {
    const request = { runId: runIdOf(run), maxSteps };
    const reply = await this.#connection.unary(RuntimeService.method.tickRun, request, { ...options, retry: false });
    return runOfMessage(reply.run);
  }

  /** Ends pending calls with a ConnectionError, and watches without an error. */
  close(): void {
    this.#connection.close();
  }

  async [asyncDispose](): Promise<void> {
    this.close();
  }

  async #openQuestion(runId: string, options: CallOptions): Promise<string> {
    const run = await this.runs.get(runId, options);
    if (run.status === "waiting" && run.waiting.reason === "user") return run.waiting.waitId;
    const hasEnded = run.status !== "running" && run.status !== "waiting";
    const reason = hasEnded ? "RUN_ENDED" : "RUN_NOT_WAITING";
    throw new RefusedError(reason, `run ${runId} asks no question: its status is ${run.status}`, {
      code: "failed_precondition",
      metadata: { run_id: runId, status: run.status },
    });
  }

  async #awaitRun<Vars, Output>(
    runId: string,
    { reasons = ["user"], timeoutMs = Infinity, signal, deadlineMs }: AwaitOptions,
  ): Promise<Run<Vars, Output>> {
    const endsAt = performance.now() + timeoutMs;
    const numbers = reasons.map((reason) => numberOf(WaitReasonSchema, reason));
    // In a request, an empty list means the default reasons. So "no reason" is a reason that the run does not wait for.
    let noReason: WaitReasonNumber = WaitReasonNumber.JOB;
    for (;;) {
      const waitMsMax = Math.max(0, endsAt - performance.now());
      const asked: WaitReasonNumber[] = numbers.length === 0 ? [noReason] : numbers;
      const run = await this.#awaitOnce<Vars, Output>(runId, asked, { signal, deadlineMs, waitMsMax });
      if (isAtRest(run, reasons) || performance.now() >= endsAt) return run;
      const waitsForJob = run.status === "waiting" && run.waiting.reason === "job";
      noReason = waitsForJob ? WaitReasonNumber.SUBWORKFLOW : WaitReasonNumber.JOB;
    }
  }

  async #awaitOnce<Vars, Output>(
    runId: string,
    reasons: WaitReasonNumber[],
    options: HoldOptions,
  ): Promise<Run<Vars, Output>> {
    const request = (waitMs: number) => ({ runId, reasons, timeout: durationOf(waitMs) });
    const reply = await this.#connection.hold(RuntimeService.method.awaitRun, request, options);
    return runOfMessage(reply.run);
  }
}

function isAtRest(run: Run<unknown, unknown>, reasons: readonly WaitReason[]): boolean {
  if (run.status === "waiting") return reasons.includes(run.waiting.reason);
  return run.status !== "running";
}

function scopeOf({ runId, sessionId, workflowId }: OutsideEvent): string {
  if (runId !== undefined) return "run";
  if (sessionId !== undefined) return "session";
  return workflowId === undefined ? "global" : "workflow";
}

function targetOf({ runId, sessionId, workflowId }: OutsideEvent): EmitEventRequest["target"] {
  if (runId !== undefined) return { case: "runId", value: runId };
  if (sessionId !== undefined) return { case: "sessionId", value: sessionId };
  return workflowId === undefined ? { case: undefined } : { case: "workflowId", value: workflowId };
}
