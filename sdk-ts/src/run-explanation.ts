/** Why a run is where it is, as callers see it. */
import { ScopeSchema } from "@abstractruntime/proto/event_pb";
import {
  JobReasonKindSchema,
  JobStateSchema,
  LeaseStateSchema,
  NextMoveKindSchema,
  type OpenJob as OpenJobMessage,
  type RunExplanation as RunExplanationMessage,
  type RunOwner as RunOwnerMessage,
} from "@abstractruntime/proto/run_explanation_pb";
import { JobKindSchema } from "@abstractruntime/proto/worker_service_pb";
import { durationMs, timestampDate } from "@bufbuild/protobuf/wkt";
import { shortNameOf } from "./enum-names.ts";
import { type RunSummary, summaryOfMessage } from "./run.ts";
import type { Scope } from "./scope.ts";
import { dateOf } from "./time.ts";

/**
 * A kind for programs and a sentence for people. `unknown`: the server does not know, or the kind is of a later
 * release.
 */
type Said<Kind extends string> = {
  readonly kind: Kind | "unknown";
  readonly message: string;
  /** The values that the sentence mentions. */
  readonly metadata: Readonly<Record<string, string>>;
};

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
  | "worker-room"
  | "retry"
  | "worker-return"
  | "worker"
>;

/** Why a job has no result yet. */
export type JobReason = Said<"no-worker" | "no-credit" | "queue" | "retry-at" | "held" | "at-worker" | "worker-away">;

/** `unknown`: a state of a later release. */
export type JobState = "open" | "delayed" | "leased" | "running" | "settled" | "cancelled" | "unknown";

/** The server that computes the run's next step. */
export type RunOwner = {
  readonly serverId: string;
  /** The process, as the server describes it. */
  readonly process: string;
  readonly laneId: number;
  readonly lease: "own" | "other" | "ended" | "unknown";
  /** How long the server that replied has seen no renewal of the lease. */
  readonly sinceRenewalMs?: number | undefined;
};

/** A job without a result. */
export type OpenJob = {
  readonly kind: "tool" | "handler" | "custom" | "unknown";
  /** The tool, the workflow of a handler, or the type of the custom effect. */
  readonly name: string;
  readonly nodeId: string;
  readonly idempotencyKey: string;
  readonly state: JobState;
  /** From 1. */
  readonly attempt: number;
  /** When a delayed job begins its next attempt, or when an open one will have waited too long. */
  readonly dueTime?: Date | undefined;
  /** The worker session that has the job. */
  readonly lease?:
    | { readonly workerSessionId: string; readonly serverId: string; readonly number: number; readonly beginTime: Date }
    | undefined;
  /** From 1. Absent unless the job waits in its queue. */
  readonly queuePlace?: number | undefined;
  /** How many leases ended without a result. */
  readonly losses: number;
  readonly reason: JobReason;
};

/** Why a run is where it is. */
export type RunExplanation = {
  readonly run: RunSummary;
  readonly next: NextMove;
  /** Absent if the run is parked. */
  readonly owner?: RunOwner | undefined;
  /** Records that the run's row does not have yet. */
  readonly rowRecordsBehind: number;
  /** When a server checks the run by itself next. */
  readonly wakeTime?: Date | undefined;
  /** The first letters that others left for the run. */
  readonly mail: readonly { readonly kind: string; readonly createTime: Date }[];
  readonly mailTotal: number;
  /** Where the run's event wait stands in its channel. */
  readonly channel?:
    | {
        readonly scope?: Scope | undefined;
        readonly scopeId: string;
        readonly lastNumber: number;
        /** The run has seen all events up to this number. */
        readonly lookedNumber: number;
        /** Events up to this number were emitted before the run started. */
        readonly startNumber: number;
      }
    | undefined;
  readonly jobCounts: readonly { readonly state: JobState; readonly count: number }[];
  /** The first jobs without a result. */
  readonly openJobs: readonly OpenJob[];
  /** When the server read all of this. */
  readonly readTime: Date;
};

export function explanationOfMessage(explanation: RunExplanationMessage | undefined): RunExplanation {
  const { run, next, owner, channel, wakeTime } = explanation ?? {};
  if (explanation === undefined || run === undefined) throw new Error("the server sent a reply without the run");
  return {
    run: summaryOfMessage(run),
    next: {
      kind: (shortNameOf(NextMoveKindSchema, next?.kind ?? 0) as NextMove["kind"] | undefined) ?? "unknown",
      message: next?.message ?? "",
      metadata: next?.metadata ?? {},
    },
    owner: owner && ownerOfMessage(owner),
    rowRecordsBehind: explanation.rowRecordsBehind,
    wakeTime: wakeTime && timestampDate(wakeTime),
    mail: explanation.mail.map(({ kind, createTime }) => ({ kind, createTime: dateOf(createTime) })),
    mailTotal: explanation.mailTotal,
    channel: channel && {
      scope: shortNameOf(ScopeSchema, channel.scope) as Scope | undefined,
      scopeId: channel.scopeId,
      lastNumber: Number(channel.lastNumber),
      lookedNumber: Number(channel.lookedNumber),
      startNumber: Number(channel.startNumber),
    },
    jobCounts: explanation.jobCounts.map(({ state, count }) => ({ state: jobStateOf(state), count })),
    openJobs: explanation.openJobs.map(openJobOfMessage),
    readTime: dateOf(explanation.readTime),
  };
}

function ownerOfMessage({ serverId, process, laneId, lease, sinceRenewal }: RunOwnerMessage): RunOwner {
  return {
    serverId,
    process,
    laneId: Number(laneId),
    lease: (shortNameOf(LeaseStateSchema, lease) as RunOwner["lease"] | undefined) ?? "unknown",
    sinceRenewalMs: sinceRenewal && durationMs(sinceRenewal),
  };
}

function jobStateOf(state: number): JobState {
  return (shortNameOf(JobStateSchema, state) as JobState | undefined) ?? "unknown";
}

function openJobOfMessage(job: OpenJobMessage): OpenJob {
  const { lease, dueTime, reason } = job;
  return {
    kind: (shortNameOf(JobKindSchema, job.kind) as OpenJob["kind"] | undefined) ?? "unknown",
    name: job.name,
    nodeId: job.nodeId,
    idempotencyKey: job.idempotencyKey,
    state: jobStateOf(job.state),
    attempt: job.attempt,
    dueTime: dueTime && timestampDate(dueTime),
    lease: lease && {
      workerSessionId: lease.workerSessionId,
      serverId: lease.serverId,
      number: lease.number,
      beginTime: dateOf(lease.beginTime),
    },
    queuePlace: job.queuePlace || undefined,
    losses: job.losses,
    reason: {
      kind: (shortNameOf(JobReasonKindSchema, reason?.kind ?? 0) as JobReason["kind"] | undefined) ?? "unknown",
      message: reason?.message ?? "",
      metadata: reason?.metadata ?? {},
    },
  };
}
