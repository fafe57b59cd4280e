/** Runs, as callers see them. */
import type { Failure as FailureMessage } from "@abstractruntime/proto/failure_pb";
import { type Notice as NoticeMessage, NoticeKindSchema } from "@abstractruntime/proto/notice_pb";
import { BlockedReasonSchema, type Run as RunMessage, RunStatusSchema } from "@abstractruntime/proto/run_pb";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { shortNameOf } from "./enum-names.ts";
import { type Json, type JsonObject, jsonOfValue } from "./json.ts";
import { dateOf } from "./time.ts";
import { type Wait, waitOfMessage } from "./wait.ts";

export type RunStatus = "running" | "waiting" | "completed" | "failed" | "cancelled";
/** Why a running run does not move. */
export type BlockedReason = "no-worker" | "retry-at" | "rate-limit";

/** Why a node or a run failed. */
export type Failure = {
  /** What failed, for programs. */
  readonly code: string;
  readonly message: string;
  /** Whether another attempt could have helped. */
  readonly retryable: boolean;
  readonly nodeId?: string | undefined;
  /** The attempt that failed, from 1. */
  readonly attempt?: number | undefined;
  readonly details?: Json | undefined;
};

declare const runOutput: unique symbol;

/** A run, by its id. The result of `start` and `run` also has the type of the output. */
export type RunReference<Output = unknown> = { readonly runId: string; readonly [runOutput]?: Output };

type RunFacts<Output> = RunReference<Output> & {
  readonly workflowId: string;
  /** The version of the workflow; it never changes during the run. */
  readonly version: number;
  readonly paused: boolean;
  /** The node at which the run is, or at which it ended. */
  readonly currentNode: string;
  readonly sessionId?: string | undefined;
  /** Who started the run, as claimed. */
  readonly actorId?: string | undefined;
  readonly parentRunId?: string | undefined;
  readonly rootRunId: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The number of the run's last step record. */
  readonly seq: number;
  readonly usage: { readonly steps: number };
  readonly createTime: Date;
  readonly updateTime: Date;
  readonly endTime?: Date | undefined;
  /** The last failure: the one that ended a failed run, or that led to an `onError` node. */
  readonly error?: Failure | undefined;
};

type Standing<Completed> =
  | { readonly status: "running"; readonly blockedReason?: BlockedReason | undefined }
  | { readonly status: "waiting"; readonly waiting: Wait }
  | ({ readonly status: "completed" } & Completed)
  | { readonly status: "failed"; readonly error: Failure }
  | { readonly status: "cancelled" };

/** One execution of a workflow. `status` says which further member is present: `waiting`, `output` or `error`. */
export type Run<Vars = JsonObject, Output = Json> = RunFacts<Output> & {
  /** The run's state. */
  readonly vars: Vars;
} & Standing<{ readonly output: Output }>;

/** A run without vars and output, as in lists and notices. */
export type RunSummary = RunFacts<unknown> & Standing<unknown>;

/** What happened to a run. `unknown`: a kind of a later release. */
export type NoticeKind =
  | "started"
  | "waiting"
  | "resumed"
  | "paused"
  | "unpaused"
  | "completed"
  | "failed"
  | "cancelled"
  | "unknown";

/** Reports a committed change of a run. */
export type Notice = {
  /** Stays the same if the notice is sent again. */
  readonly noticeId: string;
  readonly kind: NoticeKind;
  /** The run as it was when the notice was sent; it may have moved on since the change. */
  readonly run: RunSummary;
  /** The position of the feed after this notice. A watch can begin here, at any server. */
  readonly cursor: string;
};

/** A run in the full view. The caller knows the types of its vars and output from the workflow. */
export function runOfMessage<Vars, Output>(run: RunMessage | undefined): Run<Vars, Output> {
  if (run === undefined) throw new Error("the server sent a reply without the run");
  const output = jsonOfValue(run.output) as Output;
  const standing = standingOf(run, { output });
  return { ...factsOf(run), vars: (run.vars ?? {}) as Vars, ...standing } as Run<Vars, Output>;
}

/** A run in the basic view. */
export function summaryOfMessage(run: RunMessage): RunSummary {
  return { ...factsOf(run), ...standingOf(run, {}) } as RunSummary;
}

export function noticeOfMessage(notice: NoticeMessage, cursor: string): Notice | undefined {
  if (notice.run === undefined) return undefined;
  const kind = (shortNameOf(NoticeKindSchema, notice.kind) as NoticeKind | undefined) ?? "unknown";
  return { noticeId: notice.noticeId, kind, run: summaryOfMessage(notice.run), cursor };
}

export function failureOfMessage(failure: FailureMessage): Failure {
  return {
    code: failure.code,
    message: failure.message,
    retryable: failure.retryable,
    nodeId: failure.nodeId || undefined,
    attempt: failure.attempt || undefined,
    details: failure.details === undefined ? undefined : jsonOfValue(failure.details),
  };
}

function factsOf(run: RunMessage): Omit<RunFacts<unknown>, typeof runOutput> {
  return {
    runId: run.runId,
    workflowId: run.workflowId,
    version: run.version,
    paused: run.paused,
    currentNode: run.currentNode,
    sessionId: run.sessionId || undefined,
    actorId: run.actorId || undefined,
    parentRunId: run.parentRunId || undefined,
    rootRunId: run.rootRunId,
    labels: run.labels,
    seq: run.seq,
    usage: { steps: run.usage?.steps ?? 0 },
    createTime: dateOf(run.createTime),
    updateTime: dateOf(run.updateTime),
    endTime: run.endTime && timestampDate(run.endTime),
    error: run.error && failureOfMessage(run.error),
  };
}

function standingOf(run: RunMessage, completed: object): object {
  const status = shortNameOf(RunStatusSchema, run.status) as RunStatus | undefined;
  switch (status) {
    case "running":
      return {
        status,
        blockedReason: shortNameOf(BlockedReasonSchema, run.blockedReason) as BlockedReason | undefined,
      };
    case "waiting":
      return { status, waiting: run.waiting && waitOfMessage(run.waiting) };
    case "completed":
      return { status, ...completed };
    case "failed":
    case "cancelled":
      return { status };
    case undefined:
      throw new Error(`run ${run.runId} has status ${run.status}, which this release of the SDK does not know`);
  }
}
