/**
 * How every change of a run is made: load, decide in core, commit, react. After a conflict another change was first:
 * load and decide again, so that exactly one of two racing stimuli wins and the other gets a refusal.
 */
import type { Logger } from "pino";
import type { Decision } from "../../core/decision.ts";
import { DamageError } from "../../core/damage.ts";
import { DomainError } from "../../core/errors.ts";
import { NO_PREVIOUS_HASH } from "../../core/ledger-format.ts";
import type { Workflow } from "../../core/graph/graph.ts";
import type { ItemOutcome } from "../../store/contract/batch.ts";
import { BatchRejectedError } from "../../store/contract/errors.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import { RUN_FORMAT } from "../../store/run-format.ts";
import type { Clock } from "../clock.ts";
import { type Deadline, until } from "../deadline.ts";
import type { Lanes } from "../lanes/server-lease.ts";
import { type Committed, type Reaction, type Reservation, reserve } from "../reactions.ts";
import type { Reads } from "../reads.ts";
import { runUnknown } from "../refusals.ts";
import { OwnedElsewhereError } from "../retry.ts";
import type { RunCache } from "../run-cache.ts";
import { runKeyText, type RunTable } from "../run-table.ts";
import type { WorkflowCache } from "../workflow-cache.ts";
import { buildTransition, type LeaseOf } from "./build.ts";
import type { HandlerRunner, PendingHandler } from "./handler-runner.ts";
import { type Awaiting, decideNow, joinPlans, type Plan, planOf, type StimulusOf } from "./plan.ts";
import { advancing, runAhead } from "./run-ahead.ts";

/** How often a stimulus from outside is tried again after another change was first. */
const CONFLICTS_MAX = 20;

/** What changing a run needs. */
export type TransitionParts = {
  readonly clock: Clock;
  readonly log: Logger;
  readonly reads: Reads;
  readonly workflows: WorkflowCache;
  readonly lanes: Lanes;
  readonly runs: RunTable;
  readonly cache: RunCache;
  readonly handlers: HandlerRunner;
  /** In the order in which they hear of a commit. */
  readonly reactions: readonly Reaction[];
};

export type PerformOptions = {
  /** Whether further steps may be decided into the same transition. Default true. */
  runAhead?: boolean;
  consumedMail?: readonly number[];
  /** The leases of jobs whose ends are recorded. */
  leaseOf?: LeaseOf;
  /**
   * Whether to decide from a guess of the run's state instead of a read. The commit is refused if the run has changed
   * since.
   */
  mayGuess?: boolean;
  /** Called before the stimulus is decided again because another change was first. */
  onConflict?: () => Promise<void>;
  /** The time of the request; missing for what the server does by itself. */
  deadline?: Deadline | undefined;
};

export type Performed = {
  run: StoredRun;
  /** What was committed; missing if there was nothing to do. */
  plan?: Plan;
  /** The handler that must return before the run can take its next step. */
  awaiting?: PendingHandler;
};

/**
 * Performs one transition after every earlier operation on the run has ended.
 * @throws as `perform` does, and OVERLOADED
 */
export function performExclusive(
  parts: TransitionParts,
  key: RunKey,
  stimulusOf: StimulusOf,
  options?: PerformOptions,
): Promise<Performed> {
  return parts.runs.exclusive(key, () => perform(parts, key, stimulusOf, options), options?.deadline);
}

/**
 * Performs one transition of an existing run. Nothing else in this process may change the run meanwhile (see
 * run-table.ts).
 * @throws {DomainError} the refusals of the stimulus, RUN_UNKNOWN, TRANSITION_CONFLICT, TRANSITION_REJECTED
 * @throws OwnedElsewhereError
 */
export async function perform(
  parts: TransitionParts,
  key: RunKey,
  stimulusOf: StimulusOf,
  options: PerformOptions = {},
): Promise<Performed> {
  const { cache, lanes, reads } = parts;
  const { deadline } = options;
  const runText = runKeyText(key);
  const consumedMail = options.consumedMail ?? NO_MAIL;
  for (let conflicts = 0; conflicts < CONFLICTS_MAX; conflicts++) {
    const known = cache.get(runText);
    const isGuess = known?.certainty === "guess";
    const remembered = isGuess && options.mayGuess !== true ? undefined : known?.run;
    const before = remembered ?? (await until(deadline, reads.loadRun(key)));
    if (before === undefined) throw runUnknown(key.runId);
    if (before.format > RUN_FORMAT) throw newerFormat(key.runId);
    if (before.ownerLane !== undefined && !lanes.isOwnLane(before.ownerLane)) {
      if (remembered === undefined) throw new OwnedElsewhereError();
      // The run is remembered under a lane that has ended since, and may have been claimed.
      cache.forget(runText);
      continue;
    }
    const pinned = parts.workflows.pinned(key.tenantId, before.state.workflowId, before.state.version);
    const workflow = await until(deadline, pinned);
    // The ledger's first record names the digest. Another graph under the same version would betray it.
    if (workflow.digest !== before.state.digest) throw otherGraph(workflow);
    const plan = await makePlan(parts, before, workflow, stimulusOf, options.runAhead ?? true);
    if (plan !== undefined && "awaiting" in plan) {
      // The run stays as it is until the handler returns, which makes the run go on.
      if (remembered === undefined) cache.put(runText, before);
      return { run: before, awaiting: plan.awaiting };
    }
    if (plan === undefined && consumedMail.length === 0) {
      if (remembered === undefined || !isGuess) return { run: before };
      // The guess may be out of date, and there is no commit that would show it.
      cache.forget(runText);
      continue;
    }
    const { committed } = await commit(parts, key, {
      runText,
      before,
      plan: plan ?? { after: before.state, records: [], commands: [], handled: [] },
      consumedMail,
      deadline,
      ...(options.leaseOf === undefined ? {} : { leaseOf: options.leaseOf }),
    });
    if (committed !== undefined) return { run: committed.run, ...(plan === undefined ? {} : { plan }) };
    await options.onConflict?.();
    // Another server may have acted on the mail: then there is nothing left to do.
    if (consumedMail.length > 0) {
      const remaining = await reads.loadMail(key);
      if (!consumedMail.every((mailId) => remaining.some((mail) => mail.mailId === mailId))) return { run: before };
    }
  }
  throw new DomainError("TRANSITION_CONFLICT", `Run ${key.runId} kept changing; nothing was done. Try again.`, {
    metadata: { run_id: key.runId },
    retryAfterMs: 100,
  });
}

const NO_MAIL: readonly number[] = [];

/** Performs the first transition of a run. Returns undefined if the run exists already. */
export async function performStart(
  parts: TransitionParts,
  key: RunKey,
  start: { decision: Decision; workflow: Workflow; requestDigest: string; deadline?: Deadline | undefined },
): Promise<StoredRun | undefined> {
  const { requestDigest, deadline } = start;
  const plan = await runAhead(parts, planOf(start.decision), start.workflow);
  const { outcome, committed } = await commit(parts, key, {
    runText: runKeyText(key),
    plan,
    requestDigest,
    consumedMail: NO_MAIL,
    deadline,
  });
  if (outcome.type === "channel_moved") return await performStart(parts, key, start);
  return committed?.run;
}

async function makePlan(
  parts: TransitionParts,
  before: StoredRun,
  workflow: Workflow,
  stimulusOf: StimulusOf,
  mayRunAhead: boolean,
): Promise<Plan | Awaiting | undefined> {
  const decided = await decideNow(parts, before.state, workflow, stimulusOf, { stored: before });
  if (decided === undefined || "awaiting" in decided) return decided;
  if (decided.records.length === 0) return undefined;
  let plan = decided;
  if (before.state.paused && !plan.after.paused && plan.after.status === "waiting") {
    // Events and times that came while the run was paused are handled in the same transition, so none is missed.
    const woken = await decideNow(parts, plan.after, workflow, (now) => ({ type: "wake", now }));
    if (woken !== undefined && !("awaiting" in woken)) plan = joinPlans(plan, woken);
  }
  return mayRunAhead ? await runAhead(parts, plan, workflow, { waitsForHandlers: stimulusOf === advancing }) : plan;
}

type CommitFacts = {
  /** The run's key, as `runKeyText`. */
  runText: string;
  before?: StoredRun;
  plan: Plan;
  consumedMail: readonly number[];
  leaseOf?: LeaseOf;
  /** Set for a new run. */
  requestDigest?: string;
  deadline: Deadline | undefined;
};

/**
 * Commits a transition and lets every reaction hear of its outcome. `committed` is missing if nothing was committed.
 */
async function commit(
  parts: TransitionParts,
  key: RunKey,
  { runText, requestDigest = "", deadline, ...facts }: CommitFacts,
): Promise<{ outcome: ItemOutcome; committed?: Committed }> {
  const { cache, lanes, reactions } = parts;
  const { before, plan } = facts;
  const storedSeq = before?.state.seq ?? 0;
  let isCommitted = false;
  let reservation: Reservation | undefined;
  try {
    const lane = lanes.laneOf(key);
    reservation = reserve(reactions, plan);
    const { transition, bytes } = buildTransition({
      ...facts,
      headHash: before?.headHash ?? NO_PREVIOUS_HASH,
      requestDigest: before?.requestDigest ?? requestDigest,
      laneId: lane.lease.laneId,
      jobs: reservation?.jobs ?? [],
    });
    const outcome = await submit(() => lane.submit({ type: "group", transitions: [transition] }, bytes, deadline));
    if (outcome.type !== "committed") return { outcome };
    isCommitted = true;
    const committed = { key, run: transition.after, plan, hasNotices: transition.notices.length > 0 };
    cache.put(runText, committed.run);
    logTransition(parts.log, committed, { fromSeq: storedSeq, laneId: lane.lease.laneId });
    reservation?.commit();
    for (const reaction of reactions) reaction.committed?.(committed);
    return { outcome, committed };
  } finally {
    if (!isCommitted) {
      cache.forget(runText);
      reservation?.cancel();
      for (const reaction of reactions) reaction.refused?.(key, storedSeq);
    }
  }
}

/** If the database rejects a batch for its content, the stimulus is refused. */
async function submit(work: () => Promise<ItemOutcome>): Promise<ItemOutcome> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BatchRejectedError) {
      throw new DomainError("TRANSITION_REJECTED", "The database refused to store this transition.");
    }
    throw error;
  }
}

/** Logs one line for each transition, without payloads: it shows why a run did what it did. */
function logTransition(
  log: Logger,
  { key, run, plan }: Committed,
  { fromSeq, laneId }: { fromSeq: number; laneId: number },
): void {
  if (!log.isLevelEnabled("debug")) return;
  const kinds = plan.records.map(({ kind }) => kind);
  log.debug({ ...key, fromSeq, toSeq: run.state.seq, kinds, laneId }, "transition committed");
}

function otherGraph({ workflowId, version }: Workflow): DamageError {
  const ids = { workflow_id: workflowId, version };
  return new DamageError("workflow", ids, "its graph has another digest than the run was started with");
}

/** The error for a run that a newer release has written: this release would lose what it does not know. */
function newerFormat(runId: string): DomainError {
  const message = `Run ${runId} was written by a newer release; send the request to a server of that release.`;
  return new DomainError("DATABASE_UNAVAILABLE", message, { metadata: { run_id: runId }, retryAfterMs: 1_000 });
}
