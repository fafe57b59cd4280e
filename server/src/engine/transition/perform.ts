/**
 * How every change of a run is made: load, decide in core, commit, react. A conflict means that somebody else was
 * first: load and decide again, so that exactly one of two racing stimuli wins and the other is told.
 */
import type { Logger } from "pino";
import type { Decision } from "../../core/decision.ts";
import { DomainError } from "../../core/errors.ts";
import { NO_PREVIOUS_HASH } from "../../core/ledger-format.ts";
import type { Workflow } from "../../core/graph/graph.ts";
import type { ItemOutcome } from "../../store/contract/batch.ts";
import { BatchRejectedError } from "../../store/contract/errors.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import { RUN_FORMAT } from "../../store/run-format.ts";
import type { Clock } from "../clock.ts";
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

/** How often a stimulus from outside tries again after somebody else was first. */
const CONFLICTS_MAX = 20;

/** What runs are changed with. */
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
  /** Whether further steps may be decided into the same transition; true if it is missing. */
  runAhead?: boolean;
  consumedMail?: readonly number[];
  /** Of ends of jobs. */
  leaseOf?: LeaseOf;
  /**
   * Whether to decide from a guess at the run instead of reading it; the commit is refused if the run has changed
   * since.
   */
  mayGuess?: boolean;
  /** Called before the stimulus is decided again because somebody else was first. */
  onConflict?: () => Promise<void>;
};

export type Performed = {
  run: StoredRun;
  /** What was committed; missing when there was nothing to do. */
  plan?: Plan;
  /** The handler that must come back before the run can take its next step. */
  awaiting?: PendingHandler;
};

/**
 * Performs one transition when every earlier operation on the run has ended.
 * @throws as `perform` does, and OVERLOADED
 */
export function performExclusive(
  parts: TransitionParts,
  key: RunKey,
  stimulusOf: StimulusOf,
  options?: PerformOptions,
): Promise<Performed> {
  return parts.runs.exclusive(key, () => perform(parts, key, stimulusOf, options));
}

/**
 * Performs one transition of a run that exists, which nobody else in this process changes meanwhile (see run-table.ts).
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
  const runText = runKeyText(key);
  const consumedMail = options.consumedMail ?? NO_MAIL;
  for (let conflicts = 0; conflicts < CONFLICTS_MAX; conflicts++) {
    const known = cache.get(runText);
    const isGuess = known?.certainty === "guess";
    const remembered = isGuess && options.mayGuess !== true ? undefined : known?.run;
    const before = remembered ?? (await reads.loadRun(key));
    if (before === undefined) throw runUnknown(key.runId);
    if (before.format > RUN_FORMAT) throw newerFormat(key.runId);
    if (before.ownerLane !== undefined && !lanes.isOwnLane(before.ownerLane)) {
      if (remembered === undefined) throw new OwnedElsewhereError();
      // It was remembered under a lane that has ended since, and may have been claimed.
      cache.forget(runText);
      continue;
    }
    const workflow = await parts.workflows.pinned(key.tenantId, before.state.workflowId, before.state.version);
    const plan = await makePlan(parts, before, workflow, stimulusOf, options.runAhead ?? true);
    if (plan !== undefined && "awaiting" in plan) {
      // The run is as it is until the handler has come back, which has it go on.
      if (remembered === undefined) cache.put(runText, before);
      return { run: before, awaiting: plan.awaiting };
    }
    if (plan === undefined && consumedMail.length === 0) {
      if (remembered === undefined || !isGuess) return { run: before };
      // A guess may be old, and only a commit would show it.
      cache.forget(runText);
      continue;
    }
    const { committed } = await commit(parts, key, {
      runText,
      before,
      plan: plan ?? { after: before.state, records: [], commands: [], handled: [] },
      consumedMail,
      ...(options.leaseOf === undefined ? {} : { leaseOf: options.leaseOf }),
    });
    if (committed !== undefined) return { run: committed.run, ...(plan === undefined ? {} : { plan }) };
    await options.onConflict?.();
    // Somebody else may have acted on the mail: then there is nothing left to do.
    if (consumedMail.length > 0) {
      const left = await reads.loadMail(key);
      if (!consumedMail.every((mailId) => left.some((mail) => mail.mailId === mailId))) return { run: before };
    }
  }
  throw new DomainError("TRANSITION_CONFLICT", `Run ${key.runId} kept changing; nothing was done.`, {
    metadata: { run_id: key.runId },
    retryAfterMs: 100,
  });
}

const NO_MAIL: readonly number[] = [];

/** Performs the first transition of a run. Undefined: the run exists already. */
export async function performStart(
  parts: TransitionParts,
  key: RunKey,
  start: { decision: Decision; workflow: Workflow; requestDigest: string },
): Promise<StoredRun | undefined> {
  const { requestDigest } = start;
  const plan = await runAhead(parts, planOf(start.decision), start.workflow);
  const { outcome, committed } = await commit(parts, key, {
    runText: runKeyText(key),
    plan,
    requestDigest,
    consumedMail: NO_MAIL,
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
    // Events and times that came while the run was paused are handled in the same transition: nothing falls between.
    const woken = await decideNow(parts, plan.after, workflow, (now) => ({ type: "wake", now }));
    if (woken !== undefined && !("awaiting" in woken)) plan = joinPlans(plan, woken);
  }
  return mayRunAhead ? await runAhead(parts, plan, workflow, { waitsForHandlers: stimulusOf === advancing }) : plan;
}

type CommitFacts = {
  /** The key, as `runKeyText` has it. */
  runText: string;
  before?: StoredRun;
  plan: Plan;
  consumedMail: readonly number[];
  leaseOf?: LeaseOf;
  /** Of a new run. */
  requestDigest?: string;
};

/**
 * Commits a transition, and has everybody react to what came of it. `committed` is missing where nothing was committed.
 */
async function commit(
  parts: TransitionParts,
  key: RunKey,
  { runText, requestDigest = "", ...facts }: CommitFacts,
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
    const outcome = await submit(() => lane.submit({ type: "group", transitions: [transition] }, bytes));
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

/** One line for each transition, for whoever asks why a run did what it did. Never payloads. */
function logTransition(
  log: Logger,
  { key, run, plan }: Committed,
  { fromSeq, laneId }: { fromSeq: number; laneId: number },
): void {
  if (!log.isLevelEnabled("debug")) return;
  const kinds = plan.records.map(({ kind }) => kind);
  log.debug({ ...key, fromSeq, toSeq: run.state.seq, kinds, laneId }, "transition committed");
}

/** A run that a newer release has written: this one would lose what it does not know. */
function newerFormat(runId: string): DomainError {
  const message = `Run ${runId} follows the rules of a newer release than this server's; ask another server.`;
  return new DomainError("DATABASE_UNAVAILABLE", message, { metadata: { run_id: runId }, retryAfterMs: 1_000 });
}
