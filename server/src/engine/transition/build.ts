/** From decisions to what is committed: one place that seals, and that derives notices, waits and the wake time. */
import type { CallSettlement, Command } from "../../core/decision.ts";
import { isActive, type RunState, wakeTimeOf } from "../../core/run.ts";
import type { StepRecordDraft } from "../../core/step-record.ts";
import type { Transition } from "../../store/contract/batch.ts";
import type { NoticeDraft, NoticeKind } from "../../store/contract/feed.ts";
import type { JobSettlement, NewJob } from "../../store/contract/jobs.ts";
import type { StoredRun } from "../../store/contract/runs.ts";
import type { WaitClosing } from "../../store/contract/waits.ts";
import { formatAfter, mayStayBehind } from "../../store/run-format.ts";
import { rowSeqOf, stayBehind } from "../../store/row-behind.ts";
import { varsWriteOf } from "../../store/vars-write.ts";
import { sealRecords } from "./seal.ts";

export type Plan = {
  after: RunState;
  records: readonly StepRecordDraft[];
  commands: readonly Command[];
};

export type TransitionFacts = {
  /** Undefined: the run is new. */
  before?: StoredRun;
  plan: Plan;
  headHash: string;
  requestDigest: string;
  laneId: number;
  /** The newest format of runs that every server knows. */
  formatMax: number;
  consumedMail: readonly number[];
  /** The jobs that the plan makes, leased as far as there are workers. */
  jobs: readonly NewJob[];
  /** The lease that an end of a job came under. */
  leaseOf?: LeaseOf;
};

export type LeaseOf = (idempotencyKey: string) => { leaseNo: number; digest?: string; onlyOpen?: boolean };

/** @returns the transition and its size, bytes of its texts */
export function buildTransition(facts: TransitionFacts): { transition: Transition; bytes: number } {
  const { before, plan, laneId } = facts;
  const { after, commands } = plan;
  const { sealed, headHash } = sealRecords(plan.records, facts.headHash);
  const wakeTime = wakeTimeOf(after);
  const openWait = openedWait(before?.state, plan);
  const closeWait = closedWait(before?.state, plan);
  const settlements = commands.flatMap((command) => (command.type === "settle_jobs" ? command.settlements : []));
  const isHeld = before !== undefined && before.state.paused !== after.paused && hasOpenCalls(before.state);
  const expected = commands.find((command) => command.type === "expect_channel");
  const notices = plan.records.flatMap((record) => noticesOf(record, before?.state, plan));
  const behind =
    before !== undefined && isOfItsOwnerOnly(before, facts, notices) ? stayBehind(before, after, sealed) : undefined;
  const vars = behind === undefined ? varsWriteOf(before, after.vars, facts.formatMax) : undefined;
  const stored: StoredRun = {
    state: after,
    headHash,
    requestDigest: facts.requestDigest,
    ...(isActive(after) ? { ownerLane: laneId } : {}),
    format: behind === undefined ? formatAfter(before, after, facts.formatMax) : before!.format,
    ...(behind === undefined ? {} : { behind }),
  };
  const transition: Transition = {
    tenantId: after.tenantId,
    runId: after.runId,
    expectedSeq: before?.state.seq ?? 0,
    rowSeq: before === undefined ? 0 : rowSeqOf(before),
    after: stored,
    ...(vars === undefined ? {} : { vars }),
    outputChanged: after.output !== undefined,
    ...(wakeTime === undefined ? {} : { wakeTime }),
    records: sealed,
    notices,
    ...(openWait === undefined ? {} : { openWait }),
    ...(closeWait === undefined ? {} : { closeWait }),
    events: commands.flatMap((command) => (command.type === "emit" ? [command.event] : [])),
    ...(expected === undefined ? {} : { expectChannel: { channel: expected.channel, upTo: expected.upTo } }),
    jobs: facts.jobs,
    settledJobs: settlements.map((settlement) => jobSettlement(settlement, facts.leaseOf)),
    cancelJobs: before !== undefined && leavesCalls(before.state, after, settlements),
    ...(isHeld ? { holdJobs: after.paused } : {}),
    consumedMail: facts.consumedMail,
  };
  return { transition, bytes: bytesOf(transition) };
}

/** Whether only the run's owner need know what changes: the row may then be left behind. */
function isOfItsOwnerOnly(
  before: StoredRun,
  { plan, laneId, formatMax, consumedMail, jobs }: TransitionFacts,
  notices: readonly NoticeDraft[],
): boolean {
  const { after, commands } = plan;
  return (
    before.ownerLane === laneId &&
    isActive(before.state) &&
    isActive(after) &&
    mayStayBehind(before, formatMax) &&
    wakeTimeOf(before.state) === wakeTimeOf(after) &&
    after.output === undefined &&
    plan.records.length > 0 &&
    notices.length === 0 &&
    jobs.length === 0 &&
    consumedMail.length === 0 &&
    commands.every(({ type }) => type === "emit" || type === "expect_channel")
  );
}

function jobSettlement({ idempotencyKey, retry }: CallSettlement, leaseOf: LeaseOf | undefined): JobSettlement {
  const { leaseNo, digest, onlyOpen } = leaseOf!(idempotencyKey);
  return {
    idempotencyKey,
    leaseNo,
    ...(digest === undefined ? {} : { digest }),
    ...(onlyOpen === undefined ? {} : { onlyOpen }),
    ...(retry === undefined ? {} : { retry }),
  };
}

function hasOpenCalls(run: RunState): boolean {
  return run.calls.some(({ outcome }) => outcome === undefined);
}

/** Whether calls that were in flight are given up: the run has gone on without them. */
function leavesCalls(before: RunState, after: RunState, settlements: readonly CallSettlement[]): boolean {
  const kept = new Set([
    ...after.calls.map((call) => call.idempotency_key),
    ...settlements.map(({ idempotencyKey }) => idempotencyKey),
  ]);
  return before.calls.some((call) => call.outcome === undefined && !kept.has(call.idempotency_key));
}

/** Bytes of rows and statements beside the texts. */
const BYTES_BESIDE = 1_000;

/** About the bytes that a transition takes in its batch: every text that is sent. */
function bytesOf(transition: Transition): number {
  const { vars, after } = transition;
  let bytes = BYTES_BESIDE;
  for (const { header, body, given } of transition.records) bytes += textBytes(header, body, given);
  if (vars !== undefined)
    bytes += "rest" in vars ? textBytes(vars.rest, ...vars.changed.values()) : textBytes(vars.whole);
  if (transition.outputChanged) bytes += textBytes(JSON.stringify(after.state.output));
  if (transition.openWait !== undefined) bytes += textBytes(JSON.stringify(transition.openWait));
  for (const { payload } of transition.events) bytes += textBytes(JSON.stringify(payload));
  for (const { payload } of transition.jobs) bytes += textBytes(JSON.stringify(payload));
  return bytes;
}

function textBytes(...texts: (string | undefined)[]): number {
  return texts.reduce((sum, text) => sum + (text === undefined ? 0 : Buffer.byteLength(text)), 0);
}

function openedWait(before: RunState | undefined, plan: Plan): Transition["openWait"] {
  const { wait } = plan.after;
  if (wait === undefined || wait.wait_id === before?.wait?.wait_id) return undefined;
  const opener = plan.records.findLast((record) => record.body.wait?.wait_id === wait.wait_id);
  return { ...wait, seq: opener!.seq };
}

function closedWait(before: RunState | undefined, plan: Plan): WaitClosing | undefined {
  const wait = before?.wait;
  if (wait === undefined || wait.wait_id === plan.after.wait?.wait_id) return undefined;
  const closer = plan.records.find((record) => record.kind !== "run.paused" && record.kind !== "run.unpaused")!;
  const answered = plan.commands.find((command) => command.type === "answered");
  const facts = { waitId: wait.wait_id, closeTime: closer.time, runSeq: plan.after.seq };
  if (answered !== undefined) {
    const { requestId, actorId } = answered;
    return {
      ...facts,
      by: "answer",
      ...(requestId === undefined ? {} : { requestId }),
      ...(actorId === undefined ? {} : { actorId }),
    };
  }
  return { ...facts, by: closingCause(closer) };
}

function closingCause(closer: StepRecordDraft): WaitClosing["by"] {
  if (closer.kind === "run.cancel_requested") return "cancel";
  if (closer.body.status === "completed") return closer.body.cursors === undefined ? "time" : "event";
  if (closer.kind === "run.resumed") return "time";
  return closer.kind === "run.cancelled" ? "cancel" : "end";
}

const NOTICE_BY_KIND: Partial<Record<StepRecordDraft["kind"], NoticeKind>> = {
  "run.started": "started",
  "step.waiting": "waiting",
  "run.resumed": "resumed",
  "run.paused": "paused",
  "run.unpaused": "unpaused",
  "run.completed": "completed",
  "run.failed": "failed",
  "run.cancelled": "cancelled",
};

function noticesOf(record: StepRecordDraft, before: RunState | undefined, plan: Plan): NoticeDraft[] {
  const { seq } = record;
  const notices: NoticeDraft[] = [];
  const waited = before?.status === "waiting";
  const closer = waited && plan.records.find(({ kind }) => kind !== "run.paused" && kind !== "run.unpaused");
  // A wait that a step's result ended means that the run went on, even if only to its end.
  if (closer === record && (record.body.status === "completed" || record.body.status === "failed")) {
    notices.push({ kind: "resumed", seq });
  }
  const kind = NOTICE_BY_KIND[record.kind];
  if (kind !== undefined) notices.push({ kind, seq });
  if (record.kind === "run.started" && record.body.wait !== undefined) notices.push({ kind: "waiting", seq });
  return notices;
}
