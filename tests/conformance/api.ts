/**
 * The contract as a user of curl sees it: JSON by POST, and refusals with their details. Shares no code with the
 * server.
 */
import { expect } from "vitest";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export type Workflow = {
  workflowId: string;
  version: number;
  digest: string;
  current?: boolean;
  archived?: boolean;
} & {
  [key: string]: Json | undefined;
};

export type Wait = {
  waitId: string;
  runId: string;
  nodeId?: string;
  reason: string;
  prompt?: string;
  details?: Json;
  choices?: Json;
  allowFreeText?: boolean;
  answerSchema?: JsonObject;
  assignees?: string[];
  names?: string[];
  scope?: string;
  key?: string;
  dueTime?: string;
  createTime: string;
  closeTime?: string;
  answeredBy?: string;
};

export type Failure = { code: string; message?: string; nodeId?: string; retryable?: boolean };

export type Run = {
  runId: string;
  workflowId: string;
  version: number;
  status: string;
  paused?: boolean;
  currentNode?: string;
  vars?: JsonObject;
  output?: Json;
  error?: Failure;
  waiting?: Wait;
  blockedReason?: string;
  sessionId?: string;
  actorId?: string;
  rootRunId: string;
  labels?: Record<string, string>;
  seq: number;
  usage?: { steps?: number };
  createTime: string;
  updateTime: string;
  endTime?: string;
};

/** What the text of a reason or a next move is beside its kind. */
type Said = { kind?: string; message: string; metadata?: Record<string, string> };

export type RunExplanation = {
  run: Run;
  next: Said;
  owner?: { serverId: string; process?: string; laneId: string; lease: string; sinceRenewal?: string };
  rowRecordsBehind?: number;
  wakeTime?: string;
  mail?: { kind: string; createTime: string }[];
  mailTotal?: number;
  channel?: { scope: string; scopeId?: string; lastNumber?: string; lookedNumber?: string; startNumber?: string };
  jobCounts?: { state: string; count: number }[];
  openJobs?: ({ name: string; state: string; attempt: number; queuePlace?: number; reason: Said } & JsonObject)[];
  readTime: string;
};

export type StepRecord = {
  runId: string;
  seq: number;
  time: string;
  kind: string;
  status?: string;
  nodeId?: string;
  actorId?: string;
  idempotencyKey?: string;
  effect?: { type: string; payload?: Json };
  result?: Json;
  error?: Failure;
  patch?: { op: string; path?: string; value?: Json; values?: Json[]; of?: string; at?: string }[];
  wait?: Wait;
  nextNode?: string;
  output?: Json;
  reason?: string;
  requestId?: string;
  workflowDigest?: string;
  hash: string;
  proof?: { headerJson: string; bodyJson: string; given?: string; salts: Record<string, string> };
};

type RunReply = { run: Run };
type WorkflowReply = { workflow: Workflow };

/** What each RPC returns, as JSON; empty fields are omitted. */
export type Replies = {
  RegisterWorkflow: WorkflowReply;
  GetWorkflow: WorkflowReply;
  ListWorkflows: { workflows?: Workflow[]; nextPageToken?: string };
  SetCurrentVersion: WorkflowReply;
  ArchiveWorkflow: WorkflowReply;
  StartRun: RunReply;
  StartRuns: { results: { run?: Run; error?: { code: number; reason: string; message: string } }[] };
  GetRun: RunReply;
  ExplainRun: { explanation: RunExplanation };
  ListRuns: { runs?: Run[]; nextPageToken?: string };
  AwaitRun: RunReply;
  DeleteRun: Record<string, never>;
  ListWaits: { waits?: Wait[]; nextPageToken?: string };
  GetWait: { wait: Wait };
  ResumeRun: RunReply;
  EmitEvent: { eventId: string; delivered?: number };
  CancelRun: RunReply;
  PauseRun: RunReply;
  UnpauseRun: RunReply;
  TickRun: RunReply;
  ListStepRecords: { stepRecords?: StepRecord[]; nextPageToken?: string };
  GetStepRecord: { stepRecord: StepRecord };
};

export type Method = keyof Replies;

/** A refusal as it was received. */
export type Refusal = {
  httpStatus: number;
  /** Connect's name of the gRPC code, such as `not_found`. */
  code: string;
  message: string;
  reason: string;
  domain: string;
  metadata: Record<string, string>;
  /** The paths of BadRequest. */
  fields: string[];
  /** What is wrong with each field. */
  descriptions: string[];
};

export type RawReply = { status: number; headers: Headers; text: string };

export type Api = {
  /** Calls an RPC. A refusal rejects with RefusedError. */
  call<M extends Method>(method: M, request?: object): Promise<Replies[M]>;
  /** Sends this text as the body, whatever it is. */
  post(method: string, body: string | Uint8Array, headers?: Record<string, string>): Promise<RawReply>;
  /**
   * Calls an RPC that must be refused. `request` may be JSON text that no object has, for example with duplicate names.
   */
  refused(method: string, request: object | string): Promise<Refusal>;
  /** Registers a graph under an id that is new in this file, and returns the id. */
  register(graph: object): Promise<string>;
  /** Starts a run of a graph and returns it when it has ended, waits, or is blocked. */
  run(graph: object, start?: object): Promise<Run>;
  /** All records of a run. */
  records(runId: string): Promise<StepRecord[]>;
};

class RefusedError extends Error {
  readonly refusal: Refusal;
  constructor(method: string, refusal: Refusal) {
    super(`${method}: ${refusal.reason}: ${refusal.message}`);
    this.name = "RefusedError";
    this.refusal = refusal;
  }
}

const ANY_WAIT = ["WAIT_REASON_USER", "WAIT_REASON_EVENT", "WAIT_REASON_UNTIL"];

const LEDGER_METHODS = new Set(["ListStepRecords", "GetStepRecord"]);

/** The service that has an RPC. */
export function serviceOf(method: string): string {
  return `abstractruntime.v1.${LEDGER_METHODS.has(method) ? "LedgerService" : "RuntimeService"}`;
}

/** @param server read at each call, because a test that restarts its server changes the URL */
export function createApi(server: { url: string }): Api {
  let graphs = 0;

  const post: Api["post"] = async (method, body, headers = {}) => {
    const path = method.startsWith("/") ? method : `/${serviceOf(method)}/${method}`;
    const response = await fetch(`${server.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: typeof body === "string" ? body : Buffer.from(body),
    });
    return { status: response.status, headers: response.headers, text: await response.text() };
  };

  const call: Api["call"] = async <M extends Method>(method: M, request: object = {}): Promise<Replies[M]> => {
    const reply = await post(method, JSON.stringify(request));
    if (reply.status !== 200) throw new RefusedError(method, parseRefusal(reply));
    return JSON.parse(reply.text) as Replies[M];
  };

  const register: Api["register"] = async (graph) => {
    graphs += 1;
    const { workflow } = await call("RegisterWorkflow", { workflow: { workflowId: `graph-${graphs}`, ...graph } });
    return workflow.workflowId;
  };

  return {
    call,
    post,
    register,
    refused: async (method, request) => {
      const reply = await post(method, typeof request === "string" ? request : JSON.stringify(request));
      expect(reply.status, `${method} was not refused: ${reply.text}`).not.toBe(200);
      return parseRefusal(reply);
    },
    run: async (graph, start = {}) => {
      const workflowId = await register(graph);
      const { run } = await call("StartRun", { workflowId, ...start });
      if (run.status !== "RUN_STATUS_RUNNING" || run.blockedReason !== undefined || run.paused) return run;
      return (await call("AwaitRun", { runId: run.runId, reasons: ANY_WAIT, timeout: "20s" })).run;
    },
    records: async (runId) => {
      const records: StepRecord[] = [];
      for (;;) {
        const { stepRecords = [] } = await call("ListStepRecords", { runId, afterSeq: records.length, pageSize: 1000 });
        if (stepRecords.length === 0) return records;
        records.push(...stepRecords);
      }
    },
  };
}

type ConnectError = {
  code: string;
  message: string;
  details?: { type: string; value: string; debug?: unknown }[];
};

/**
 * Reads Connect's error JSON. The details are decoded from their bytes; `debug` is a convenience and not part of the
 * contract.
 */
export function parseRefusal({ status, text }: { status: number; text: string }): Refusal {
  const error = JSON.parse(text) as ConnectError;
  const refusal: Refusal = {
    httpStatus: status,
    code: error.code,
    message: error.message,
    reason: "",
    domain: "",
    metadata: {},
    fields: [],
    descriptions: [],
  };
  for (const { type, value } of error.details ?? []) readDetail(refusal, type, Buffer.from(value, "base64"));
  return refusal;
}

/** Adds what one message of google.rpc says. */
export function readDetail(refusal: Refusal, type: string, bytes: Uint8Array): void {
  if (type === "google.rpc.ErrorInfo") {
    for (const [field, value] of fieldsOf(bytes)) {
      if (field === 1) refusal.reason = value.toString();
      if (field === 2) refusal.domain = value.toString();
      if (field !== 3) continue;
      const entry = new Map(fieldsOf(value));
      refusal.metadata[entry.get(1)?.toString() ?? ""] = entry.get(2)?.toString() ?? "";
    }
  } else if (type === "google.rpc.BadRequest") {
    for (const [, violation] of fieldsOf(bytes)) {
      const entry = new Map(fieldsOf(violation));
      refusal.fields.push(entry.get(1)?.toString() ?? "");
      refusal.descriptions.push(entry.get(2)?.toString() ?? "");
    }
  }
}

/** The fields of a protobuf message whose fields all are strings or messages, as those of google.rpc are. */
export function fieldsOf(bytes: Uint8Array): [number: number, value: Buffer][] {
  const fields: [number, Buffer][] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    if ((tag & 7) === 0) {
      varint();
      continue;
    }
    expect(tag & 7, "the wire type of a field").toBe(2);
    const length = varint();
    fields.push([tag >> 3, Buffer.from(bytes.subarray(at, at + length))]);
    at += length;
  }
  return fields;
}
