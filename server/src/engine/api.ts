/** What rpc asks of the engine: one method per RPC, in the words of core. Refusals are thrown as `DomainError`. */
import type { CallFailure } from "../core/call-failure.ts";
import type { Delivery } from "../core/call.ts";
import type { Instant } from "../core/duration.ts";
import type { DomainError, ErrorReason } from "../core/errors.ts";
import type { Scope } from "../core/event.ts";
import type { Json, JsonObject } from "../core/json/json.ts";
import type { SealedRecord } from "../core/ledger-format.ts";
import type { RunState } from "../core/run.ts";
import type { StepRecordDraft } from "../core/records.ts";
import type { Wait, WaitReason } from "../core/wait.ts";
import type { Limits } from "../core/graph/limits.ts";
import type { WorkflowDefinition } from "../core/graph/definition.ts";
import type { NoticeKind } from "../store/contract/feed.ts";
import type { RunFilter, RunOrder } from "../store/contract/runs.ts";
import type { JobStanding, RunStanding } from "../store/contract/standings.ts";
import type { WaitFilter } from "../store/contract/waits.ts";
import type { StoredTool, StoredWorker } from "../store/contract/workers.ts";
import type { Actor, Caller } from "./caller.ts";

export type { Actor, Caller, NoticeKind, RunFilter, RunOrder, StoredTool, WaitFilter };

export type BlockedReason = "no_worker" | "retry_at" | "rate_limit";

/** A run as callers see it. In a basic view `state.vars` is null and `state.output` absent. */
export type RunView = { state: RunState; view: "basic" | "full"; blockedReason?: BlockedReason };

/** What something is, for programs and as a sentence for people; `metadata` has what the sentence names. */
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

/** The server that computes on a run. */
export type RunOwner = {
  laneId: number;
  /** "" if nothing is known of the lane but its id. */
  serverId: string;
  process: string;
  lease: "own" | "other" | "ended";
  /** For how long this server has seen no renewal of the lease; missing if it has ended, or was not seen yet. */
  sinceRenewalMs?: number;
};

/** Where an event wait stands in its channel. */
export type ChannelView = {
  scope: Scope;
  scopeId: string;
  lastNumber: number;
  /** The run is known to have looked at all events up to this one. */
  lookedNumber: number;
  /** Events up to this one were emitted before the run started. */
  startNumber: number;
};

/** Why a run stands where it stands. */
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
  /** When it was answered or ended otherwise; absent while it is open. */
  closeTime?: Instant;
  answeredBy?: string;
};

export type WorkflowView = {
  version: number;
  digest: string;
  definition: WorkflowDefinition;
  createTime: Instant;
  current: boolean;
  archived: boolean;
};

export type StepRecordView = { record: StepRecordDraft; sealed: SealedRecord };

export type StartRequest = {
  /** Absent: the server makes one (UUIDv7). */
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

/** pageSize 0 means 50; pageToken "" means the first page; nextPageToken "" means there is no more. */
export type PageRequest = { pageSize: number; pageToken: string };

/** A message of WatchRuns; without a notice it is a heartbeat. `run` is as it is now, at or after the notice. */
export type RunsMessage = { cursor: string; notice?: { noticeId: string; kind: NoticeKind; run: RunView } };
/** A message of WatchRun; without a record it is a heartbeat. */
export type RunMessage = { cursor: string; stepRecord?: StepRecordView };

export type EmitRequest = {
  name: string;
  scope: Scope;
  /** The run, session or workflow that the scope names; "" for global. */
  scopeId: string;
  key: string;
  payload: Json;
  /** Absent: the server makes one. */
  eventId?: string;
};

// Workers: the frames of the stream in the engine's words. docs/worker-protocol.md describes them.

export type WorkerView = StoredWorker;

export type WorkerHello = {
  workerSessionId: string;
  name: string;
  tools: readonly StoredTool[];
  /** No versions: all of them. */
  workflows: readonly { workflowId: string; versions: readonly number[] }[];
  customTypes: readonly { type: string; delivery?: Delivery; concurrency: number }[];
  heldTokens: readonly string[];
  /** Bytes of large members of vars that the worker keeps for the length of the stream; absent: none. */
  keptVarsBytes?: number;
};

/** `output` is JSON text as it came, not yet read. */
export type JobResult = { token: string; outcome: { output: string } | { failure: CallFailure } };

export type WorkerFrame =
  | { type: "credit"; jobs: number }
  | { type: "accept" | "heartbeat"; tokens: readonly string[] }
  | { type: "result"; results: readonly JobResult[] }
  | { type: "drain" }
  | { type: "goodbye" }
  | { type: "pong" };

/** A job as its offer says it. */
export type OfferedJob = {
  token: string;
  kind: "tool" | "handler" | "custom";
  name: string;
  /** JSON text; null in it stands for each of `largeVars`. */
  payload: string;
  /** The large members of a handler's vars; absent: the payload is whole. */
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
  /** What the worker keeps it under; 0: it is not kept. */
  id: number;
  /** JSON text; absent: the worker has it. */
  text?: string;
};

export type JobResultAck = {
  token: string;
  status: "accepted" | "duplicate" | "refused";
  /** Only of a refused one. */
  reason?: ErrorReason;
};

export type ServerFrame =
  | { type: "welcome"; serverId: string; pingMs: number; silenceMs: number; acceptMs: number }
  | { type: "offer"; jobs: readonly OfferedJob[] }
  | { type: "start" | "cancel" | "lease_lost"; tokens: readonly string[] }
  | { type: "pause"; tokens: readonly string[]; paused: boolean }
  | { type: "result_ack"; acks: readonly JobResultAck[] }
  | { type: "ping"; number: number };

/** The way to a worker. Frames are sent in their order, at the worker's pace. */
export type WorkerLink = {
  send(frame: ServerFrame): void;
  /** Whether so much waits to be sent that nothing more is to be offered. Absent: never. */
  isFull?(): boolean;
  /** Ends the stream, with a refusal or in peace. The connection is told of its end as of any other. */
  end(reason?: DomainError): void;
};

/** A worker's stream, as long as it lasts. */
export type WorkerConnection = {
  receive(frame: WorkerFrame): void;
  /** The stream is gone; what the worker has stays its own for a while. */
  close(): void;
};

export type ControlRequest = { runId: string; reason?: string };

export type ResumeRequest = { runId: string; waitId: string; payload: Json; requestId?: string };

/** One start of several: each may claim an actor of its own. */
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
  /** Each start for itself: its run, or why it was refused. */
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
   * Returns at the end, at a wait whose reason is asked for (none: user, event, job), or after `timeoutMs` with the run
   * as it is.
   */
  awaitRun(
    caller: Caller,
    request: { runId: string; reasons: readonly WaitReason[]; timeoutMs: number; signal: AbortSignal },
  ): Promise<RunView>;
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
  /** Does now what is due for the run; a paused run takes up to `maxSteps` steps and stays paused. */
  tickRun(caller: Caller, request: { runId: string; maxSteps: number }): Promise<RunView>;

  /** Waits up to `waitMs` when there is nothing new. */
  listStepRecords(
    caller: Caller,
    request: PageRequest & { runId: string; afterSeq: number; waitMs: number; signal: AbortSignal },
  ): Promise<{ records: StepRecordView[]; nextPageToken: string }>;
  getStepRecord(caller: Caller, runId: string, seq: number): Promise<StepRecordView>;

  /** Every record after `afterSeq`, then those to come; ends when the run has ended and all was sent. */
  watchRun(
    caller: Caller,
    request: { runId: string; afterSeq: number; signal: AbortSignal },
  ): AsyncIterable<RunMessage>;
  /** Notices after `cursor` ("": from now on; "beginning": all that are kept), then those to come. */
  watchRuns(
    caller: Caller,
    request: { filter: RunFilter; kinds: readonly NoticeKind[]; cursor: string; signal: AbortSignal },
  ): AsyncIterable<RunsMessage>;

  /**
   * Takes a worker's stream after its hello.
   * @throws {DomainError} REQUEST_INVALID with the path of what is wrong with the hello
   */
  connectWorker(caller: Caller, hello: WorkerHello, link: WorkerLink): Promise<WorkerConnection>;
  listWorkers(
    caller: Caller,
    request: PageRequest & { tool?: string },
  ): Promise<{ workers: WorkerView[]; nextPageToken: string }>;

  /** Whether the server can do its work now: the database answers and the lease is open. */
  isServing(): boolean;
  /** Calls back whenever `isServing` changes; gives the function that ends it. */
  onServingChange(callback: (serving: boolean) => void): () => void;
}
