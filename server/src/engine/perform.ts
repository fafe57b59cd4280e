/**
 * How every change of a run is made: load, decide in core, commit, notify. A conflict means that somebody else was first:
 * load and decide again, so that exactly one of two racing stimuli wins and the other is told.
 */
import type { Decision, LookUpNeeded } from "../core/decision.ts";
import { decide, type Stimulus } from "../core/decide.ts";
import { DomainError } from "../core/errors.ts";
import { NO_PREVIOUS_HASH } from "../core/ledger-format.ts";
import { isActive, type RunState, wakeTimeOf } from "../core/run.ts";
import type { Instant } from "../core/duration.ts";
import type { Workflow } from "../core/workflow.ts";
import { BatchRejectedError, type ItemOutcome, type StoredRun } from "../store/contract.ts";
import { buildTransition, type Plan, RUN_FORMAT } from "./build-transition.ts";
import type { EngineContext } from "./context.ts";
import type { RunEntry } from "./run-table.ts";

/** Bounds of run-ahead: steps without an effect that share one commit (DESIGN.md, section 5). */
const RUN_AHEAD_STEPS_MAX = 64;
const RUN_AHEAD_BYTES_MAX = 256 * 1024;
const RUN_AHEAD_MS_MAX = 100;

/** How often a stimulus from outside tries again after somebody else was first. */
const CONFLICTS_MAX = 20;

/** A stimulus that learns the time, and what was looked up, when it is decided. */
export type StimulusOf = (now: Instant, run: RunState) => Stimulus | undefined;

export type Performed = {
  run: StoredRun;
  /** What was committed; empty when there was nothing to do. */
  plan?: Plan;
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
  options: { runAhead?: boolean; consumedMail?: readonly number[] } = {},
): Promise<Performed> {
  const { key } = entry;
  for (let conflicts = 0; conflicts < CONFLICTS_MAX; conflicts++) {
    const before = entry.state ?? (await context.loadRun(key));
    if (before === undefined) throw runUnknown(key.runId);
    if (before.format > RUN_FORMAT) throw newerFormat(key.runId);
    if (before.ownerLane !== undefined && !context.isOwnLane(before.ownerLane)) {
      if (entry.state === undefined) throw new OwnedElsewhereError();
      // It was remembered under a lane that has ended since, and may have been claimed.
      delete entry.state;
      continue;
    }
    const workflow = await context.workflows.pinned(key.tenantId, before.state.workflowId, before.state.version);
    const plan = await makePlan(context, before.state, workflow, stimulusOf, options.runAhead ?? true);
    const consumedMail = options.consumedMail ?? [];
    if (plan === undefined && consumedMail.length === 0) return { run: before };
    const lane = context.laneOf(key);
    const { transition, bytes } = buildTransition({
      before,
      plan: plan ?? { after: before.state, records: [], commands: [] },
      headHash: before.headHash,
      requestDigest: before.requestDigest,
      laneId: lane.lease.laneId,
      consumedMail,
    });
    // Until its outcome is known, what this server remembers of the run may be wrong.
    delete entry.state;
    const outcome = await submit(() => lane.submit({ type: "transition", transition }, bytes));
    if (outcome.type === "committed") {
      settle(context, entry, transition.after, plan);
      return { run: transition.after, ...(plan === undefined ? {} : { plan }) };
    }
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

/** Performs the first transition of a run. Undefined: the run exists already. */
export async function performStart(
  context: EngineContext,
  entry: RunEntry,
  start: { decision: Decision; workflow: Workflow; requestDigest: string },
): Promise<StoredRun | undefined> {
  const lane = context.laneOf(entry.key);
  const plan = await extendPlan(context, toPlan(start.decision), start.workflow);
  const { transition, bytes } = buildTransition({
    plan,
    headHash: NO_PREVIOUS_HASH,
    requestDigest: start.requestDigest,
    laneId: lane.lease.laneId,
    consumedMail: [],
  });
  const outcome = await submit(() => lane.submit({ type: "transition", transition }, bytes));
  if (outcome.type === "conflict") return undefined;
  if (outcome.type === "channel_moved") return await performStart(context, entry, start);
  settle(context, entry, transition.after, plan);
  return transition.after;
}

/** What follows a commit: memory, notices, listeners, timers, and the next step. */
function settle(context: EngineContext, entry: RunEntry, run: StoredRun, plan: Plan | undefined): void {
  const { key } = entry;
  // A parked run may be changed by any server: only one that is active here is as this server remembers it.
  if (isActive(run.state)) entry.state = run;
  context.hub.publish(key, run);
  context.tellOthers({ run: key });
  for (const command of plan?.commands ?? []) {
    if (command.type === "emit") context.wakeListenersSoon(command.event);
  }
  const wakeTime = wakeTimeOf(run.state);
  if (wakeTime !== undefined) context.armTimer(wakeTime);
  if (isActive(run.state)) context.advance(key);
  else if (context.hasOthers()) context.deliverMail(key);
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
  run: RunState,
  workflow: Workflow,
  stimulusOf: StimulusOf,
  runAhead: boolean,
): Promise<Plan | undefined> {
  const decision = await decideNow(context, run, workflow, stimulusOf);
  if (decision === undefined || decision.records.length === 0) return undefined;
  let plan = toPlan(decision);
  if (decision.records.some((record) => record.kind === "run.unpaused") && plan.after.status === "waiting") {
    // Events and times that came while the run was paused are looked at in the same transition: nothing falls between.
    const woken = await decideNow(context, plan.after, workflow, (now) => ({ type: "wake", now }));
    if (woken !== undefined) plan = joinPlans(plan, woken);
  }
  return runAhead ? await extendPlan(context, plan, workflow) : plan;
}

/** Decides further steps into the same transition while they need no commit between them. */
async function extendPlan(context: EngineContext, first: Plan, workflow: Workflow): Promise<Plan> {
  let plan = first;
  if (workflow.commitEveryStep) return plan;
  const endAt = performance.now() + RUN_AHEAD_MS_MAX;
  let bytes = sizeOf(plan);
  const isFull = () =>
    plan.records.length >= RUN_AHEAD_STEPS_MAX || bytes >= RUN_AHEAD_BYTES_MAX || performance.now() >= endAt;
  while (isActive(plan.after) && plan.commands.every(({ type }) => type === "answered") && !isFull()) {
    const decision = await decideNow(context, plan.after, workflow, nextStep);
    if (decision === undefined || decision.records.length === 0) break;
    plan = joinPlans(plan, decision);
    bytes += sizeOf(decision);
  }
  return plan;
}

/** What an active run does next: its deadline ends it, else its node is executed. */
export function nextStep(now: Instant, run: RunState): Stimulus {
  const isOver = run.deadlineTime !== undefined && run.deadlineTime <= now;
  return { type: isOver ? "wake" : "advance", now };
}

function sizeOf(plan: { records: Plan["records"] }): number {
  let bytes = 0;
  for (const record of plan.records) {
    if (record.body.patch !== undefined || record.body.result !== undefined)
      bytes += JSON.stringify(record.body).length;
  }
  return bytes;
}

async function decideNow(
  context: EngineContext,
  run: RunState,
  workflow: Workflow,
  stimulusOf: StimulusOf,
): Promise<Decision | undefined> {
  const stimulus = stimulusOf(context.clock.next(run.updateTime), run);
  if (stimulus === undefined) return undefined;
  const decision: Decision | LookUpNeeded = decide(run, stimulus, workflow);
  if (!("lookUp" in decision)) return decision;
  const lookup = await context.lookUpEvent(decision.lookUp);
  // At the same time as before: what was looked up may depend on it.
  const again = decide(run, { ...stimulus, lookup } as Stimulus, workflow);
  if ("lookUp" in again) throw new Error("a decision asked twice for the same look-up");
  return again;
}

function toPlan(decision: Decision): Plan {
  return { after: decision.run, records: decision.records, commands: decision.commands };
}

function joinPlans(plan: Plan, decision: Decision): Plan {
  return {
    after: decision.run,
    records: [...plan.records, ...decision.records],
    commands: [...plan.commands, ...decision.commands],
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
