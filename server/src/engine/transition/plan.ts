/** Deciding: what core makes of a run and a stimulus, with the answers to what it asks on the way. */
import type { Decision } from "../../core/decision.ts";
import { decide, type Stimulus } from "../../core/decide.ts";
import type { Instant } from "../../core/duration.ts";
import type { EventLookup } from "../../core/event.ts";
import type { HandlerOutcome } from "../../core/handler-request.ts";
import type { RunState } from "../../core/run.ts";
import type { Workflow } from "../../core/graph/graph.ts";
import type { StoredRun } from "../../store/contract/runs.ts";
import type { Clock } from "../clock.ts";
import { pause } from "../pause.ts";
import type { Reads } from "../reads.ts";
import type { Plan as TransitionPlan } from "./build.ts";
import type { HandlerRunner, PendingHandler } from "./handler-runner.ts";

/** Questions of one decision: an event to look up, and what came of a handler. */
const QUESTIONS_MAX = 3;

export type Plan = TransitionPlan & {
  /** The handlers whose step plans are in it. */
  readonly handled: readonly PendingHandler[];
};

/** A decision that waits for a handler. */
export type Awaiting = { awaiting: PendingHandler };

/** A stimulus that learns the time, and what was looked up, when it is decided. */
export type StimulusOf = (now: Instant, run: RunState) => Stimulus | undefined;

/** What deciding needs. */
export type DecideParts = {
  readonly clock: Clock;
  readonly reads: Pick<Reads, "lookUpEvent">;
  readonly handlers: HandlerRunner;
};

/**
 * Decides, and finds out what the decision has to be told. Undefined: there is nothing to decide.
 * @param at.stored the run as it is stored, where nothing of it is uncommitted
 * @param at.waitUntilMs how long a handler that a worker has may take, on the clock of `performance`
 */
export async function decideNow(
  parts: DecideParts,
  run: RunState,
  workflow: Workflow,
  stimulusOf: StimulusOf,
  at: { stored?: StoredRun; waitUntilMs?: number } = {},
): Promise<Plan | Awaiting | undefined> {
  const { handlers } = parts;
  const stimulus = stimulusOf(parts.clock.next(run.updateTime), run);
  if (stimulus === undefined) return undefined;
  const told: { lookup?: EventLookup; handler?: HandlerOutcome } = {};
  const handled: PendingHandler[] = [];
  // The same run advancing asks for the same handler: what came of it is told before it is asked for again.
  const finished = at.stored && stimulus.type === "advance" ? handlers.finishedHandler(at.stored) : undefined;
  if (finished !== undefined) {
    told.handler = finished.outcome!;
    handled.push(finished);
  }
  for (let questions = 0; questions < QUESTIONS_MAX; questions++) {
    // Again at the same time as before: what was looked up may depend on it.
    const decision = decide(run, { ...stimulus, ...told }, workflow);
    if ("lookUp" in decision) {
      told.lookup = await parts.reads.lookUpEvent(decision.lookUp);
    } else if ("runHandler" in decision) {
      const handler = handlers.runHandler(decision.runHandler, at.stored);
      await waitFor(handler, at.waitUntilMs);
      if (handler.outcome === undefined) return { awaiting: handler };
      told.handler = handler.outcome;
      handled.push(handler);
    } else {
      return planOf(decision, handled);
    }
  }
  throw new Error("a decision asked the same twice");
}

/** Waits for a handler that a worker has. */
async function waitFor(handler: PendingHandler, untilMs: number | undefined): Promise<void> {
  const leftMs = (untilMs ?? 0) - performance.now();
  if (handler.outcome !== undefined || handler.token === undefined || leftMs <= 0) return;
  await Promise.race([handler.done, pause(leftMs)]);
}

export function planOf({ run, records, commands }: Decision, handled: readonly PendingHandler[] = []): Plan {
  return { after: run, records, commands, handled };
}

/** A plan and the one that follows it, as one transition. */
export function joinPlans(plan: Plan, next: Plan): Plan {
  return {
    after: next.after,
    records: [...plan.records, ...next.records],
    commands: [...plan.commands, ...next.commands],
    handled: [...plan.handled, ...next.handled],
  };
}
