/** Deciding: asks core for a decision about a run and a stimulus, and answers what core asks on the way. */
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

/** Inputs that one decision may ask for: an event look-up and a handler's outcome. */
const QUESTIONS_MAX = 3;

export type Plan = TransitionPlan & {
  /** The handlers whose step plans are part of the plan. */
  readonly handled: readonly PendingHandler[];
};

/** A decision that waits for a handler. */
export type Awaiting = { awaiting: PendingHandler };

/** Makes a stimulus when it is decided, at that time and for the run as it is then. */
export type StimulusOf = (now: Instant, run: RunState) => Stimulus | undefined;

/** What deciding needs. */
export type DecideParts = {
  readonly clock: Clock;
  readonly reads: Pick<Reads, "lookUpEvent">;
  readonly handlers: HandlerRunner;
};

/**
 * Decides, and provides the inputs that the decision asks for. Returns undefined if there is nothing to decide.
 * @param at.stored the run as it is stored; missing if part of it is uncommitted
 * @param at.waitUntilMs until when to wait for a handler that a worker has, on the clock of `performance`
 */
export async function decideNow(
  parts: DecideParts,
  run: RunState,
  workflow: Workflow,
  stimulusOf: StimulusOf,
  at: { stored?: StoredRun; waitUntilMs?: number } = {},
): Promise<Plan | Awaiting | undefined> {
  const { handlers } = parts;
  const stimulus = stimulusOf(parts.clock.now(), run);
  if (stimulus === undefined) return undefined;
  const inputs: { lookup?: EventLookup; handler?: HandlerOutcome } = {};
  const handled: PendingHandler[] = [];
  // The same run advancing would request the same handler: its outcome is passed in before it is requested again.
  const finished = at.stored && stimulus.type === "advance" ? handlers.finishedHandler(at.stored) : undefined;
  if (finished !== undefined) {
    inputs.handler = finished.outcome!;
    handled.push(finished);
  }
  for (let questions = 0; questions < QUESTIONS_MAX; questions++) {
    // At the same time as before, because what was looked up may depend on it.
    const decision = decide(run, { ...stimulus, ...inputs }, workflow);
    if ("lookUp" in decision) {
      inputs.lookup = await parts.reads.lookUpEvent(decision.lookUp);
    } else if ("runHandler" in decision) {
      const handler = handlers.runHandler(decision.runHandler, at.stored);
      await waitFor(handler, at.waitUntilMs);
      if (handler.outcome === undefined) return { awaiting: handler };
      inputs.handler = handler.outcome;
      handled.push(handler);
    } else {
      return planOf(decision, handled);
    }
  }
  throw new Error("a decision asked for the same input twice");
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

/** Joins a plan and the one that follows it into one transition. */
export function joinPlans(plan: Plan, next: Plan): Plan {
  return {
    after: next.after,
    records: [...plan.records, ...next.records],
    commands: [...plan.commands, ...next.commands],
    handled: [...plan.handled, ...next.handled],
  };
}
