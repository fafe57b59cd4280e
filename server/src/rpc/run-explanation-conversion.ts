/** Why a run stands where it stands: the engine's words as messages. */
import {
  type ChannelStanding,
  ChannelStandingSchema,
  JobReasonKind,
  JobState,
  LeaseState,
  NextMoveKind,
  type OpenJob,
  OpenJobSchema,
  type RunExplanation,
  RunExplanationSchema,
  type RunOwner,
  RunOwnerSchema,
} from "@abstractruntime/proto/run_explanation_pb";
import { create } from "@bufbuild/protobuf";
import type * as engine from "../engine/api.ts";
import { SCOPE } from "./enum-conversion.ts";
import { runToProtoBasic } from "./run-conversion.ts";
import { durationFromMs, optionalTimestamp, timestampFromInstant } from "./time-conversion.ts";
import { JOB_KIND } from "./worker-conversion.ts";

const NEXT_MOVE_KIND = {
  nothing: NextMoveKind.NOTHING,
  server: NextMoveKind.SERVER,
  claim: NextMoveKind.CLAIM,
  mail: NextMoveKind.MAIL,
  unpause: NextMoveKind.UNPAUSE,
  answer: NextMoveKind.ANSWER,
  event: NextMoveKind.EVENT,
  time: NextMoveKind.TIME,
  result: NextMoveKind.RESULT,
  worker_room: NextMoveKind.WORKER_ROOM,
  retry: NextMoveKind.RETRY,
  worker_return: NextMoveKind.WORKER_RETURN,
  worker: NextMoveKind.WORKER,
  unknown: NextMoveKind.UNSPECIFIED,
} as const satisfies Record<engine.NextMove["kind"], NextMoveKind>;

const JOB_STATE = {
  open: JobState.OPEN,
  delayed: JobState.DELAYED,
  leased: JobState.LEASED,
  running: JobState.RUNNING,
  settled: JobState.SETTLED,
  cancelled: JobState.CANCELLED,
} as const satisfies Record<engine.RunExplanation["jobCounts"][number]["state"], JobState>;

const JOB_REASON_KIND = {
  no_worker: JobReasonKind.NO_WORKER,
  no_credit: JobReasonKind.NO_CREDIT,
  queue: JobReasonKind.QUEUE,
  retry_at: JobReasonKind.RETRY_AT,
  held: JobReasonKind.HELD,
  at_worker: JobReasonKind.AT_WORKER,
  worker_away: JobReasonKind.WORKER_AWAY,
} as const satisfies Record<engine.JobReason["kind"], JobReasonKind>;

const LEASE_STATE = {
  own: LeaseState.OWN,
  other: LeaseState.OTHER,
  ended: LeaseState.ENDED,
} as const satisfies Record<engine.RunOwner["lease"], LeaseState>;

export function explanationToProto(explanation: engine.RunExplanation): RunExplanation {
  const { run, next, owner, channel, mail, jobCounts, openJobs } = explanation;
  return create(RunExplanationSchema, {
    run: runToProtoBasic(run),
    next: { kind: NEXT_MOVE_KIND[next.kind], message: next.message, metadata: { ...next.metadata } },
    owner: owner && ownerToProto(owner),
    rowRecordsBehind: explanation.rowRecordsBehind,
    wakeTime: optionalTimestamp(explanation.wakeTime),
    mail: mail.first.map(({ kind, createTime }) => ({ kind, createTime: timestampFromInstant(createTime) })),
    mailTotal: mail.total,
    channel: channel && channelToProto(channel),
    jobCounts: jobCounts
      .map(({ state, count }) => ({ state: JOB_STATE[state], count }))
      .toSorted((a, b) => a.state - b.state),
    openJobs: openJobs.map(openJobToProto),
    readTime: timestampFromInstant(explanation.now),
  });
}

function ownerToProto({ serverId, process, laneId, lease, sinceRenewalMs }: engine.RunOwner): RunOwner {
  return create(RunOwnerSchema, {
    serverId,
    process,
    laneId: BigInt(laneId),
    lease: LEASE_STATE[lease],
    sinceRenewal: sinceRenewalMs === undefined ? undefined : durationFromMs(sinceRenewalMs),
  });
}

function channelToProto(channel: engine.ChannelView): ChannelStanding {
  const { scope, scopeId, lastNumber, lookedNumber, startNumber } = channel;
  return create(ChannelStandingSchema, {
    scope: SCOPE[scope],
    scopeId,
    lastNumber: BigInt(lastNumber),
    lookedNumber: BigInt(lookedNumber),
    startNumber: BigInt(startNumber),
  });
}

function openJobToProto(job: engine.RunExplanation["openJobs"][number]): OpenJob {
  const { workerSessionId, leaseServerId = "", leaseNo, leaseTime, reason } = job;
  return create(OpenJobSchema, {
    kind: JOB_KIND[job.kind],
    name: job.name,
    nodeId: job.nodeId,
    idempotencyKey: job.idempotencyKey,
    state: JOB_STATE[job.state],
    attempt: job.attempt,
    dueTime: optionalTimestamp(job.dueTime),
    lease:
      workerSessionId === undefined
        ? undefined
        : { workerSessionId, serverId: leaseServerId, number: leaseNo, beginTime: optionalTimestamp(leaseTime) },
    queuePlace: job.queuePlace ?? 0,
    losses: job.losses,
    reason: { kind: JOB_REASON_KIND[reason.kind], message: reason.message, metadata: { ...reason.metadata } },
  });
}
