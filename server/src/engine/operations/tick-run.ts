import { runEnded } from "../../core/control-run.ts";
import { hasEnded, hasNextStep } from "../../core/run.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { Caller, RunView } from "../api.ts";
import type { Deadline } from "../deadline.ts";
import { pause } from "../pause.ts";
import { runUnknown } from "../refusals.ts";
import { OwnedElsewhereError } from "../retry.ts";
import type { RunViewer } from "../run-view.ts";
import { deliverMail } from "../stimuli/deliver-mail.ts";
import { wake } from "../stimuli/wake-run.ts";
import { type Performed, performExclusive, type TransitionParts } from "../transition/perform.ts";

/** How long a tick waits for a handler. */
const HANDLER_WAIT_MS = 60_000;

type Parts = { transitions: TransitionParts; viewOf: RunViewer };

/**
 * Does now what is due for a run. A paused run takes up to `maxSteps` steps, each with its own commit, and stays
 * paused.
 * @throws {DomainError} RUN_UNKNOWN, RUN_ENDED
 */
export async function tickRun(
  { transitions, viewOf }: Parts,
  caller: Caller,
  request: { runId: string; maxSteps: number },
): Promise<RunView> {
  const key: RunKey = { tenantId: caller.tenantId, runId: request.runId };
  for (let step = 0; step < Math.max(request.maxSteps, 1); step++) {
    const { plan, awaiting } = await takeStep(transitions, key, caller.deadline);
    if (awaiting !== undefined) {
      // The handler decides the step, so the step is taken after the handler has returned.
      const returned = Promise.race([awaiting.done, pause(HANDLER_WAIT_MS)]);
      await (caller.deadline?.resting(returned) ?? returned);
      if (awaiting.outcome === undefined) break;
      step -= 1;
      continue;
    }
    if (plan === undefined || hasEnded(plan.after)) break;
  }
  await deliverMail(transitions, key);
  await wake(transitions, key);
  const run = await transitions.reads.loadRun(key);
  if (run === undefined) throw runUnknown(request.runId);
  return viewOf(run);
}

/**
 * Takes the next step of a paused run. If another server computes the run, this does nothing: the steps are taken
 * there.
 */
async function takeStep(
  transitions: TransitionParts,
  key: RunKey,
  deadline: Deadline | undefined,
): Promise<Pick<Performed, "plan" | "awaiting">> {
  try {
    return await performExclusive(
      transitions,
      key,
      (now, run) => {
        if (hasEnded(run)) throw runEnded(run.runId);
        return run.paused && hasNextStep(run) ? { type: "advance", now } : undefined;
      },
      { runAhead: false, deadline },
    );
  } catch (error) {
    if (error instanceof OwnedElsewhereError) return {};
    throw error;
  }
}
