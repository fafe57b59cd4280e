/** What rpc calls: one method per RPC, in core's types. Refusals are thrown as `DomainError`. */
import type { CallFailure } from "../core/call-failure.ts";
import type { Delivery } from "../core/call.ts";
import type { Instant } from "../core/duration.ts";
import type { DomainError, ErrorReason } from "../core/errors.ts";
import type { Scope } from "../core/event.ts";
import type { Json, JsonObject } from "../core/json/json.ts";
import type { OpenedRecord, SealedRecord } from "../core/ledger-format.ts";
import type { RunState } from "../core/run.ts";
import type { Wait, WaitReason } from "../core/wait.ts";
import type { Limits } from "../core/graph/limits.ts";
import type { WorkflowDefinition } from "../core/graph/definition.ts";
import type { NoticeKind } from "../core/decision.ts";
import type { RunFilter, RunOrder } from "../store/contract/runs.ts";
import type { JobStanding, RunStanding } from "../store/contract/standings.ts";
import type { WaitFilter } from "../store/contract/waits.ts";
import type { StoredTool, StoredWorker } from "../store/contract/workers.ts";
import type { Actor, Caller } from "./caller.ts";
import type { Problem } from "./health.ts";

export type { Actor, Caller, Problem, NoticeKind, RunFilter, RunOrder, StoredTool, WaitFilter };

export type BlockedReason = "no_worker" | "retry_at" | "rate_limit";

/** A run as callers see it. In the basic view `state.vars` is null and `state.output` is missing. */
export type RunView = {
  state: RunState;
  view: "basic" | "full";
  blockedReason?: BlockedReason;
  /** Why the rest of the run cannot be read. */
  damage?: string;
};

/** A kind for programs and a sentence for people; `metadata` has the values that the sentence mentions. */
type Said<Kind extends string> = { kind: Kind; message: string; metadata: Readonly<Record<string, string>> };

/** What would move a run next. */
export type NextMove = Said<
  | "nothing"
  | "server"
  | "claim"
  | "mail"
  | "unpause"
  | "answer"
  | "event"
  | "time"
  | "result"
  | "worker_room"
  | "retry"
  | "worker_return"
  | "worker"
  | "unknown"
>;

/** Why a job has no result yet. */
export type JobReason = Said<"no_worker" | "no_credit" | "queue" | "retry_at" | "held" | "at_worker" | "worker_away">;

/** The server that computes the run's next step. */
export type RunOwner = {
  laneId: number;
  /** "" if only the lane's id is known. */
  serverId: string;
  process: string;
  lease: "own" | "other" | "ended";
  /** How long this server has seen no renewal of the lease; missing if the lease has ended or was never seen. */
  sinceRenewalMs?: number;
};

/** The position of an event wait in its channel. */
export type ChannelView = {
  scope: Scope;
  scopeId: string;
  lastNumber: number;
  /** The run is known to have seen all events up to this number. */
  lookedNumber: number;
  /** Events up to this one were emitted before the run started. */
  startNumber: number;
};

/** Why a run is where it is. */
export type RunExplanation = Pick<RunStanding, "now" | "wakeTime" | "mail" | "jobCounts"> & {
  run: RunView;
  next: NextMove;
  /** Missing while the run is parked. */
  owner?: RunOwner;
  rowRecordsBehind: number;
  channel?: ChannelView;
  openJobs: (JobStanding & { reason: JobReason })[];
};

/** A wait as callers see it, with what it shows of its run. */
export type WaitView = {
  runId: string;
  wait: Wait;
  workflowId: string;
  sessionId?: string;
  labels: Readonly<Record<string, string>>;
  /** When the wait was answered or ended in another way; missing while it is open. */
  closeTime?: Instant;
  answeredBy?: string;
  /** Why the rest of the wait cannot be read. */
  damage?: string;
};

export type WorkflowView = {
  version: number;
  digest: string;
  definition: WorkflowDefinition;
  createTime: Instant;
  current: boolean;
  archived: boolean;
  /** Why the graph cannot be read. */
  damage?: string;
};

/** A record of a run, as far as it can be read. */
export type StepRecordView = { runId: string; opened: OpenedRecord; sealed: SealedRecord };

export type StartRequest = {
  /** If it is missing, the server generates one (UUIDv7). */
  runId?: string;
  workflowId: string;
  /** 0: the current version. */
  version: number;
  vars: JsonObject;
  sessionId?: string;
  labels: Record<string, string>;
  limits: Limits;
  paused: boolean;
  startAt?: Instant;
};

/** pageSize 0 means 50; pageToken "" means the first page; nextPageToken "" means that there are no more pages. */
export type PageRequest = { pageSize: number; pageToken: string };

/**
 * A message of WatchRuns; without a notice it is a heartbeat. `run` is the run as it is now, at or after the notice.
 */
export type RunsMessage = { cursor: string; notice?: { noticeId: string; kind: NoticeKind; run: RunView } };
/** A message of WatchRun; without a record it is a heartbeat. */
export type AwaitRequest = {
  runId: string;
  reasons: readonly WaitReason[];
  timeoutMs: number;
  signal: AbortSignal;
  /** Resolves when the caller may have a run with its vars in memory; the result gives the room back unused. */
  roomForRun?: () => Promise<(() => void) | undefined>;
};

export type RunMessage = { cursor: string; stepRecord?: StepRecordView };

export type EmitRequest = {
  name: string;
  scope: Scope;
  /** The run, session or workflow that the scope names; "" for global. */
  scopeId: string;
  key: string;
  payload: Json;
  /** If it is missing, the server generates one. */
  eventId?: string;
};

// Workers: the frames of the stream in the engine's types. docs/worker-protocol.md describes them.

export type WorkerView = StoredWorker;

export type WorkerHello = {
  workerSessionId: string;
  name: string;
  tools: readonly StoredTool[];
  /** If it is missing, all versions. */
  workflows: readonly { workflowId: string; versions: readonly number[] }[];
  customTypes: readonly { type: string; delivery?: Delivery; concurrency: number }[];
  heldTokens: readonly string[];
  /** How many bytes of large vars the worker keeps for the length of the stream; if it is missing, it keeps none. */
  keptVarsBytes?: number;
};

/** `output` is JSON text as it was received, not yet parsed. */
export type JobResult = { token: string; outcome: { output: string } | { failure: CallFailure } };

export type WorkerFrame =
  | { type: "credit"; jobs: number }
  | { type: "accept" | "heartbeat"; tokens: readonly string[] }
  | { type: "result"; results: readonly JobResult[] }
  | { type: "drain" }
  | { type: "goodbye" }
  | { type: "pong" };

/** A job as its offer describes it. */
export type OfferedJob = {
  token: string;
  kind: "tool" | "handler" | "custom";
  name: string;
  /** JSON text; it has null in place of each of `largeVars`. */
  payload: string;
  /** The large members of a handler's vars; if it is missing, the payload is complete. */
  largeVars?: readonly OfferedVar[];
  /** Ids of large members that the worker forgets after this job. */
  forgottenVars?: readonly number[];
  runId: string;
  workflowId: string;
  version: number;
  sessionId?: string;
  nodeId: string;
  callId?: string;
  idempotencyKey: string;
  attempt: number;
  leaseNumber: number;
  timeoutMs: number;
  heartbeatTimeoutMs?: number;
  delivery: Delivery;
};

/** A large member of vars. */
export type OfferedVar = {
  name: string;
  /** The id under which the worker keeps the member; 0 if it does not keep it. */
  id: number;
  /** JSON text; missing if the worker has the value already. */
  text?: string;
};

export type JobResultAck = {
  token: string;
  status: "accepted" | "duplicate" | "refused";
  /** Set only if the result was refused. */
  reason?: ErrorReason;
};

export type ServerFrame =
  | { type: "welcome"; serverId: string; pingMs: number; silenceMs: number; acceptMs: number }
  | { type: "offer"; jobs: readonly OfferedJob[] }
  | { type: "start" | "cancel" | "lease_lost"; tokens: readonly string[] }
  | { type: "pause"; tokens: readonly string[]; paused: boolean }
  | { type: "result_ack"; acks: readonly JobResultAck[] }
  | { type: "ping"; number: number };

/** The connection to a worker. Frames are sent in order, at the worker's pace. */
export type WorkerLink = {
  send(frame: ServerFrame): void;
  /**
   * Whether so much is waiting to be sent that nothing more should be offered. If it is missing, the link is never
   * full.
   */
  isFull?(): boolean;
  /** Ends the stream, with a refusal or normally. `close` is called then, as after any other end. */
  end(reason?: DomainError): void;
};

/** A worker's stream while it is open. */
export type WorkerConnection = {
  receive(frame: WorkerFrame): void;
  /** The stream has ended. The worker keeps its jobs for a while. */
  close(): void;
};

export type ControlRequest = { runId: string; reason?: string };

export type ResumeRequest = { runId: string; waitId: string; payload: Json; requestId?: string };

/** One of several starts; each may claim an actor of its own. */
export type ActorStart = { actor?: Actor; request: StartRequest };

export interface Engine {
  registerWorkflow(caller: Caller, definition: WorkflowDefinition): Promise<WorkflowView>;
  getWorkflow(caller: Caller, workflowId: string, version: number): Promise<WorkflowView>;
  listWorkflows(
    caller: Caller,
    request: PageRequest & { workflowId?: string; includeArchived: boolean },
  ): Promise<{ workflows: WorkflowView[]; nextPageToken: string }>;
  setCurrentVersion(caller: Caller, workflowId: string, version: number): Promise<WorkflowView>;
  setArchived(caller: Caller, workflowId: string, archived: boolean): Promise<WorkflowView>;

  startRun(caller: Caller, request: StartRequest): Promise<RunView>;
  /** Each start succeeds or fails on its own: returns its run, or why it was refused. */
  startRuns(caller: Caller, starts: readonly ActorStart[]): Promise<(RunView | DomainError)[]>;
  getRun(caller: Caller, runId: string, view: "basic" | "full"): Promise<RunView>;
  explainRun(caller: Caller, runId: string): Promise<RunExplanation>;
  listRuns(
    caller: Caller,
    request: PageRequest & {
      filter: RunFilter;
      order: RunOrder;
      view: "basic" | "full";
    },
  ): Promise<{ runs: RunView[]; nextPageToken: string }>;
  /**
   * Returns when the run ends, or when it waits for one of the given reasons (by default user, event and job). After
   * `timeoutMs` it returns the run as it is.
   */
  awaitRun(caller: Caller, request: AwaitRequest): Promise<RunView>;
  deleteRun(caller: Caller, runId: string): Promise<void>;

  listWaits(
    caller: Caller,
    request: PageRequest & { filter: WaitFilter },
  ): Promise<{ waits: WaitView[]; nextPageToken: string }>;
  getWait(caller: Caller, waitId: string): Promise<WaitView>;
  resumeRun(caller: Caller, request: ResumeRequest): Promise<RunView>;
  emitEvent(caller: Caller, request: EmitRequest): Promise<{ eventId: string; delivered: number }>;

  cancelRun(caller: Caller, request: ControlRequest): Promise<RunView>;
  pauseRun(caller: Caller, request: ControlRequest): Promise<RunView>;
  unpauseRun(caller: Caller, request: ControlRequest): Promise<RunView>;
  /** Does now what is due for the run. A paused run takes up to `maxSteps` steps and stays paused. */
  tickRun(caller: Caller, request: { runId: string; maxSteps: number }): Promise<RunView>;

  /** Waits up to `waitMs` if there is nothing new. */
  listStepRecords(
    caller: Caller,
    request: PageRequest & { runId: string; afterSeq: number; waitMs: number; signal: AbortSignal },
  ): Promise<{ records: StepRecordView[]; nextPageToken: string }>;
  getStepRecord(caller: Caller, runId: string, seq: number): Promise<StepRecordView>;

  /**
   * Yields every record after `afterSeq`, then new ones as they come. Ends after the last record of a run that has
   * ended.
   */
  watchRun(
    caller: Caller,
    request: { runId: string; afterSeq: number; signal: AbortSignal },
  ): AsyncIterable<RunMessage>;
  /**
   * Yields the notices after `cursor`, then new ones as they come. "" starts now; "beginning" starts with the oldest
   * one kept.
   */
  watchRuns(
    caller: Caller,
    request: { filter: RunFilter; kinds: readonly NoticeKind[]; cursor: string; signal: AbortSignal },
  ): AsyncIterable<RunsMessage>;

  /**
   * Accepts a worker's stream after its hello.
   * @throws {DomainError} REQUEST_INVALID with the path of each invalid field of the hello
   */
  connectWorker(caller: Caller, hello: WorkerHello, link: WorkerLink): Promise<WorkerConnection>;
  listWorkers(
    caller: Caller,
    request: PageRequest & { tool?: string },
  ): Promise<{ workers: WorkerView[]; nextPageToken: string }>;

  /** Whether the server can work now: its lease is open, a write went through lately, and no problem is in the way. */
  isServing(): boolean;
  /** What is wrong now, the oldest problem first. Some problems do not keep the server from its work. */
  problems(): Problem[];
  /** Calls back whenever `isServing` changes. Returns a function that stops the calls. */
  onServingChange(callback: (serving: boolean) => void): () => void;
}
