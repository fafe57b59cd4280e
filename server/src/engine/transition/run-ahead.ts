/** Run-ahead: steps without an effect need no commit between them, so several of them share one. */
import type { AnyRecord } from "../../core/records.ts";
import type { Stimulus } from "../../core/decide.ts";
import type { Command } from "../../core/decision.ts";
import type { Instant } from "../../core/duration.ts";
import { isActive, type RunState } from "../../core/run.ts";
import type { Workflow } from "../../core/graph/graph.ts";
import { type DecideParts, decideNow, joinPlans, type Plan } from "./plan.ts";
import { jsonText } from "../../core/json/json-text.ts";

/** Bounds of what is decided into one transition: a crash loses it, and other requests for the run wait for it. */
const STEPS_MAX = 64;
const BYTES_MAX = 256 * 1024;
const MS_MAX = 100;

/**
 * Decides further steps into the same transition while they need no commit between them.
 * @param options.waitsForHandlers whether to wait for the handlers of later steps
 */
export async function runAhead(
  parts: DecideParts,
  first: Plan,
  workflow: Workflow,
  options: { waitsForHandlers?: boolean } = {},
): Promise<Plan> {
  let plan = first;
  if (workflow.commitEveryStep) return plan;
  const endAt = performance.now() + MS_MAX;
  let bytes = sizeOf(plan);
  const isFull = () => plan.records.length >= STEPS_MAX || bytes >= BYTES_MAX || performance.now() >= endAt;
  while (isActive(plan.after) && plan.commands.every(endsAnEffect) && !isFull()) {
    // A client that waits for the reply to a start or an answer should not wait for a handler too.
    const wait = options.waitsForHandlers === true ? { waitUntilMs: endAt } : {};
    const decided = await decideNow(parts, plan.after, workflow, nextStep, wait);
    // A handler that takes longer is awaited after the steps so far are committed.
    if (decided === undefined || "awaiting" in decided || decided.records.length === 0) break;
    plan = joinPlans(plan, decided);
    bytes += sizeOf(decided);
  }
  return plan;
}

/** The next step of an active run. */
export function advancing(now: Instant, run: RunState): Stimulus | undefined {
  return isActive(run) ? nextStep(now, run) : undefined;
}

/** What an active run does next: it ends if its deadline has passed; otherwise its node is executed. */
function nextStep(now: Instant, run: RunState): Stimulus {
  const isOver = run.deadlineTime !== undefined && run.deadlineTime <= now;
  return { type: isOver ? "wake" : "advance", now };
}

/**
 * Whether each command must be committed before the run goes on, because it is visible, or is done, outside of the run.
 * The end of an effect is committed together with the steps that follow, up to the next effect.
 */
const IS_COMMITTED_FIRST = {
  create_jobs: true,
  emit: true,
  expect_channel: true,
  open_wait: false,
  close_wait: false,
  settle_jobs: false,
  cancel_jobs: false,
  hold_jobs: false,
  consume_event: false,
  notice: false,
} as const satisfies Record<Command["type"], boolean>;

function endsAnEffect({ type }: Command): boolean {
  return !IS_COMMITTED_FIRST[type];
}

function sizeOf(plan: { records: Plan["records"] }): number {
  let bytes = 0;
  for (const { body } of plan.records as readonly AnyRecord[]) {
    if (body.patch !== undefined || body.result !== undefined) bytes += jsonText(body).length;
  }
  return bytes;
}
