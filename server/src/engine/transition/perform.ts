/**
 * How every change of a run is made: load, decide in core, commit, notify. A conflict means that somebody else was first:
 * load and decide again, so that exactly one of two racing stimuli wins and the other is told.
 */
import type { Command, Decision, JobDraft } from "../../core/decision.ts";
import { decide, type Stimulus } from "../../core/decide.ts";
import type { EventLookup } from "../../core/event.ts";
import type { HandlerOutcome } from "../../core/run-handler.ts";
import { DomainError } from "../../core/errors.ts";
import { NO_PREVIOUS_HASH } from "../../core/ledger-format.ts";
import { isActive, type RunState, wakeTimeOf } from "../../core/run.ts";
import { addMs, type Instant } from "../../core/duration.ts";
import type { Workflow } from "../../core/workflow.ts";
import type { ItemOutcome } from "../../store/contract/batch.ts";
import { BatchRejectedError } from "../../store/contract/errors.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import { RUN_FORMAT } from "../../store/run-format.ts";
import { buildTransition, type LeaseOf, type Plan as TransitionPlan } from "./build.ts";
import type { EngineContext } from "../context.ts";
import { pause } from "../pause.ts";
import type { RunEntry } from "../run-table.ts";
import type { HandlerRun } from "../workers/handler-runs.ts";

/** Bounds of run-ahead: steps without an effect that share one commit (DESIGN.md, section 5). */
const RUN_AHEAD_STEPS_MAX = 64;
const RUN_AHEAD_BYTES_MAX = 256 * 1024;
const RUN_AHEAD_MS_MAX = 100;

/** How often a stimulus from outside tries again after somebody else was first. */
const CONFLICTS_MAX = 20;

/** What a decision may have to be told before it is made: an event, and what came of a handler. */
const QUESTIONS_MAX = 3;

type Plan = TransitionPlan & {
  /** The handlers whose step plans are in it. */
  handled: readonly HandlerRun[];
};

/** A stimulus that learns the time, and what was looked up, when it is decided. */
export type StimulusOf = (now: Instant, run: RunState) => Stimulus | undefined;

export type Performed = {
  run: StoredRun;
  /** What was committed; empty when there was nothing to do. */
  plan?: TransitionPlan;
  /** The handler that must come back before the run can take its next step. */
  awaiting?: HandlerRun;
};

/** Thrown when the run has a different owner: only that server may compute on it. */
export class OwnedElsewhereError extends Error {}

/**
 * Performs one transition of a run that exists.
 * @throws {DomainError} the refusals of the stimulus, RUN_UNKNOWN, TRANSITION_CONFLICT, TRANSITION_REJECTED
 * @throws OwnedElsewhereError
 */
export async function perform(
  context: EngineContext,
  entry: RunEntry,
  stimulusOf: StimulusOf,
  options: {
    runAhead?: boolean;
    consumedMail?: readonly number[];
    /** Of ends of jobs. */
    leaseOf?: LeaseOf;
    /** The run as somebody remembers it; the commit is refused if it has changed since. */
    remembered?: StoredRun | undefined;
    /** Called before the stimulus is decided again because somebody else was first. */
    onConflict?: () => Promise<void>;
  } = {},
): Promise<Performed> {
  const { key } = entry;
  let told = options.remembered;
  for (let conflicts = 0; conflicts < CONFLICTS_MAX; conflicts++) {
    const remembered = entry.state ?? context.workers.rememberedRun(key) ?? told;
    const before = remembered ?? (await context.loadRun(key));
    const isTold = remembered !== undefined && remembered === told;
    // After a conflict it is read.
    told = undefined;
    if (before === undefined) throw runUnknown(key.runId);
    if (before.format > RUN_FORMAT) throw newerFormat(key.runId);
    if (before.ownerLane !== undefined && !context.isOwnLane(before.ownerLane)) {
      if (remembered === undefined) throw new OwnedElsewhereError();
      // It was remembered under a lane that has ended since, and may have been claimed.
      forget(context, entry);
      continue;
    }
    const workflow = await context.workflows.pinned(key.tenantId, before.state.workflowId, before.state.version);
    const made = await makePlan(context, before, workflow, stimulusOf, options.runAhead ?? true);
    if (made !== undefined && "awaiting" in made) return { run: before, awaiting: made.awaiting };
    const plan = made;
    const consumedMail = options.consumedMail ?? [];
    if (plan === undefined && consumedMail.length === 0) {
      // What is told may be old, and only a commit would show it.
      if (isTold) continue;
      return { run: before };
    }
    // Until its outcome is known, what this server remembers of the run may be wrong.
    delete entry.state;
    const { run, outcome, hasNotices } = await commit(context, key, {
      before,
      plan: plan ?? { after: before.state, records: [], commands: [], handled: [] },
      consumedMail,
      ...(options.leaseOf === undefined ? {} : { leaseOf: options.leaseOf }),
    }).catch((error: unknown) => {
      forget(context, entry);
      throw error;
    });
    if (outcome.type === "committed") {
      settle(context, entry, run, plan, hasNotices);
      return { run, ...(plan === undefined ? {} : { plan }) };
    }
    forget(context, entry);
    await options.onConflict?.();
    // Somebody else may have acted on the mail: then there is nothing left to do.
    if (consumedMail.length > 0) {
      const left = await context.loadMail(key);
      if (!consumedMail.every((mailId) => left.some((mail) => mail.mailId === mailId))) return { run: before };
    }
  }
  throw new DomainError("TRANSITION_CONFLICT", `Run ${key.runId} kept changing; nothing was done.`, {
    metadata: { run_id: key.runId },
    retryAfterMs: 100,
  });
}

/** The run is not, or may not be, as this server remembers it. */
function forget(context: EngineContext, entry: RunEntry): void {
  delete entry.state;
  context.workers.forgetRun(entry.key);
}

/** Performs the first transition of a run. Undefined: the run exists already. */
export async function performStart(
  context: EngineContext,
  entry: RunEntry,
  start: { decision: Decision; workflow: Workflow; requestDigest: string },
): Promise<StoredRun | undefined> {
  const plan = await extendPlan(context, toPlan(start.decision), start.workflow);
  const { requestDigest } = start;
  const { run, outcome, hasNotices } = await commit(context, entry.key, { plan, requestDigest, consumedMail: [] });
  if (outcome.type === "conflict") return undefined;
  if (outcome.type === "channel_moved") return await performStart(context, entry, start);
  settle(context, entry, run, plan, hasNotices);
  return run;
}

type CommitFacts = {
  before?: StoredRun;
  plan: Plan;
  consumedMail: readonly number[];
  leaseOf?: LeaseOf;
  /** Of a new run. */
  requestDigest?: string;
};

/** Commits a transition; its jobs are leased with it, and offered once it is committed. */
async function commit(
  context: EngineContext,
  key: RunKey,
  { requestDigest = "", ...facts }: CommitFacts,
): Promise<{ run: StoredRun; outcome: ItemOutcome; hasNotices: boolean }> {
  const lane = context.laneOf(key);
  const { before, plan } = facts;
  const drafts = plan.commands.flatMap((command) => (command.type === "create_jobs" ? command.jobs : []));
  const reservation = drafts.length === 0 ? undefined : context.workers.reserve(drafts, plan.after);
  let isCommitted = false;
  try {
    const { transition, bytes } = buildTransition({
      ...facts,
      headHash: before?.headHash ?? NO_PREVIOUS_HASH,
      requestDigest: before?.requestDigest ?? requestDigest,
      laneId: lane.lease.laneId,
      formatMax: context.formatMax(),
      jobs: reservation?.jobs ?? [],
    });
    const outcome = await submit(() => lane.submit({ type: "transition", transition }, bytes));
    isCommitted = outcome.type === "committed";
    if (isCommitted) reservation?.commit();
    return { run: transition.after, outcome, hasNotices: transition.notices.length > 0 };
  } finally {
    if (!isCommitted) {
      reservation?.cancel();
      // The next step after what is stored is the same whoever decides it; what was decided ahead of that is not.
      context.workers.abandonHandlers(key, (before?.state.seq ?? 0) + 1);
    }
  }
}

/** What follows a commit: memory, notices, listeners, timers, and the next step. */
function settle(
  context: EngineContext,
  entry: RunEntry,
  run: StoredRun,
  plan: Plan | undefined,
  hasNotices: boolean,
): void {
  const { key } = entry;
  // A parked run may be changed by any server: only one that is active here is as this server remembers it.
  if (isActive(run.state)) entry.state = run;
  for (const handlerRun of plan?.handled ?? []) context.workers.handlerTaken(handlerRun);
  context.workers.runMoved(key, run);
  context.hub.publish(key, run);
  if (hasNotices) context.hub.publishFeed();
  context.tellOthers({ run: key });
  if (plan?.records.some(({ kind }) => kind === "run.unpaused") === true) context.workers.noteCalls(run.state);
  for (const command of plan?.commands ?? []) {
    if (command.type === "emit") context.wakeListenersSoon(command.event);
    else if (command.type === "settle_jobs") {
      for (const { retry } of command.settlements) if (retry !== undefined) context.workers.armTimer(retry.dueTime);
    } else if (command.type === "create_jobs") {
      for (const job of command.jobs) armJobTimer(context, job, run.state.updateTime);
    }
  }
  const wakeTime = wakeTimeOf(run.state);
  if (wakeTime !== undefined) context.armTimer(wakeTime);
  if (isActive(run.state)) context.advance(key);
  else if (context.hasOthers()) context.deliverMail(key);
}

function armJobTimer(context: EngineContext, { dueTime, queueTimeoutMs }: JobDraft, createTime: Instant): void {
  if (dueTime !== undefined) context.workers.armTimer(dueTime);
  else if (queueTimeoutMs !== undefined) context.workers.armTimer(addMs(createTime, queueTimeoutMs));
}

/** A batch that the database refuses for what is in it is a refusal of the stimulus. */
async function submit(work: () => Promise<ItemOutcome>): Promise<ItemOutcome> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BatchRejectedError) {
      throw new DomainError("TRANSITION_REJECTED", "The database refuses to store this transition.");
    }
    throw error;
  }
}

async function makePlan(
  context: EngineContext,
  before: StoredRun,
  workflow: Workflow,
  stimulusOf: StimulusOf,
  runAhead: boolean,
): Promise<Plan | { awaiting: HandlerRun } | undefined> {
  const decided = await decideNow(context, before.state, workflow, stimulusOf, { stored: before });
  if (decided === undefined || "awaiting" in decided) return decided;
  if (decided.records.length === 0) return undefined;
  let plan = decided;
  if (plan.records.some((record) => record.kind === "run.unpaused") && plan.after.status === "waiting") {
    // Events and times that came while the run was paused are looked at in the same transition: nothing falls between.
    const woken = await decideNow(context, plan.after, workflow, (now) => ({ type: "wake", now }));
    if (woken !== undefined && !("awaiting" in woken)) plan = joinPlans(plan, woken);
  }
  return runAhead ? await extendPlan(context, plan, workflow, { waitsForHandlers: stimulusOf === advancing }) : plan;
}

/** Decides further steps into the same transition while they need no commit between them. */
async function extendPlan(
  context: EngineContext,
  first: Plan,
  workflow: Workflow,
  options: { waitsForHandlers?: boolean } = {},
): Promise<Plan> {
  let plan = first;
  if (workflow.commitEveryStep) return plan;
  const endAt = performance.now() + RUN_AHEAD_MS_MAX;
  let bytes = sizeOf(plan);
  const isFull = () =>
    plan.records.length >= RUN_AHEAD_STEPS_MAX || bytes >= RUN_AHEAD_BYTES_MAX || performance.now() >= endAt;
  while (isActive(plan.after) && plan.commands.every(endsAnEffect) && !isFull()) {
    // Who waits for the reply of a start or an answer does not wait for a handler too.
    const wait = options.waitsForHandlers === true ? { waitUntilMs: endAt } : {};
    const decided = await decideNow(context, plan.after, workflow, nextStep, wait);
    // A handler that takes longer is waited for when what there is so far is committed.
    if (decided === undefined || "awaiting" in decided || decided.records.length === 0) break;
    plan = joinPlans(plan, decided);
    bytes += sizeOf(decided);
  }
  return plan;
}

/** What an active run does next: its deadline ends it, else its node is executed. */
function nextStep(now: Instant, run: RunState): Stimulus {
  const isOver = run.deadlineTime !== undefined && run.deadlineTime <= now;
  return { type: isOver ? "wake" : "advance", now };
}

/** What came of an effect is committed with the steps that follow, up to the next effect. */
function endsAnEffect({ type }: Command): boolean {
  return type === "answered" || type === "settle_jobs";
}

/** The next step of a run that is active. */
export function advancing(now: Instant, run: RunState): Stimulus | undefined {
  return isActive(run) ? nextStep(now, run) : undefined;
}

function sizeOf(plan: { records: Plan["records"] }): number {
  let bytes = 0;
  for (const record of plan.records) {
    if (record.body.patch !== undefined || record.body.result !== undefined)
      bytes += JSON.stringify(record.body).length;
  }
  return bytes;
}

/**
 * Decides, and finds out what the decision has to be told. Undefined: there is nothing to decide.
 * @param at.stored the run as it is stored, where nothing of it is uncommitted
 * @param at.waitUntilMs how long a handler that a worker has may take, on the clock of `performance`
 */
async function decideNow(
  context: EngineContext,
  run: RunState,
  workflow: Workflow,
  stimulusOf: StimulusOf,
  at: { stored?: StoredRun; waitUntilMs?: number } = {},
): Promise<Plan | { awaiting: HandlerRun } | undefined> {
  const stimulus = stimulusOf(context.clock.next(run.updateTime), run);
  if (stimulus === undefined) return undefined;
  const told: { lookup?: EventLookup; handler?: HandlerOutcome } = {};
  const handled: HandlerRun[] = [];
  // The same run advancing asks for the same handler: what came of it is told before it is asked for again.
  const finished = at.stored && stimulus.type === "advance" ? context.workers.finishedHandler(at.stored) : undefined;
  if (finished !== undefined) {
    told.handler = finished.outcome!;
    handled.push(finished);
  }
  for (let questions = 0; questions < QUESTIONS_MAX; questions++) {
    // Again at the same time as before: what was looked up may depend on it.
    const decision = decide(run, { ...stimulus, ...told }, workflow);
    if ("lookUp" in decision) {
      told.lookup = await context.lookUpEvent(decision.lookUp);
    } else if ("runHandler" in decision) {
      const handlerRun = context.workers.runHandler(decision.runHandler, at.stored);
      await waitFor(handlerRun, at.waitUntilMs);
      if (handlerRun.outcome === undefined) return { awaiting: handlerRun };
      told.handler = handlerRun.outcome;
      handled.push(handlerRun);
    } else {
      return { ...toPlan(decision), handled };
    }
  }
  throw new Error("a decision asked the same twice");
}

/** Waits for a handler that a worker has. */
async function waitFor(handlerRun: HandlerRun, untilMs: number | undefined): Promise<void> {
  const leftMs = (untilMs ?? 0) - performance.now();
  if (handlerRun.outcome !== undefined || handlerRun.token === undefined || leftMs <= 0) return;
  await Promise.race([handlerRun.done, pause(leftMs)]);
}

function toPlan(decision: Decision): Plan {
  return { after: decision.run, records: decision.records, commands: decision.commands, handled: [] };
}

function joinPlans(plan: Plan, next: Plan): Plan {
  return {
    after: next.after,
    records: [...plan.records, ...next.records],
    commands: [...plan.commands, ...next.commands],
    handled: [...plan.handled, ...next.handled],
  };
}

export function runUnknown(runId: string): DomainError {
  return new DomainError("RUN_UNKNOWN", `There is no run ${runId}.`, { metadata: { run_id: runId } });
}

/** A run that a newer release has written: this one would lose what it does not know. */
function newerFormat(runId: string): DomainError {
  const message = `Run ${runId} follows the rules of a newer release than this server's; ask another server.`;
  return new DomainError("DATABASE_UNAVAILABLE", message, { metadata: { run_id: runId }, retryAfterMs: 1_000 });
}
