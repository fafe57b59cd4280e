/** Cancel, pause, unpause and tick: what operators ask of a run. */
import { type ControlStimulus, runEnded } from "../../core/control-run.ts";
import { DomainError } from "../../core/errors.ts";
import { hasEnded, hasNextStep } from "../../core/run.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import type { Caller, ControlRequest, RunView } from "../api.ts";
import { type EngineContext, viewOf } from "../context.ts";
import { pause } from "../pause.ts";
import { createSignal } from "../notice-hub.ts";
import { OwnedElsewhereError, perform, runUnknown } from "../transition/perform.ts";
import { deliverMail } from "../stimuli/deliver-mail.ts";
import { wake } from "../stimuli/wake-run.ts";

/** How long a tick waits for a handler. */
const HANDLER_WAIT_MS = 60_000;
/** How long a reply waits for the run's owner, on another server, to act on mail. */
const MAIL_WAIT_MS = 1_000;

/**
 * Cancels, pauses or unpauses a run. A run that another server computes on gets mail: the reply is the run as it is then,
 * and what was asked happens at its next step.
 * @throws {DomainError} RUN_UNKNOWN, RUN_ENDED (pause), RUN_NOT_PAUSED (unpause)
 */
export async function controlRun(
  context: EngineContext,
  caller: Caller,
  kind: ControlStimulus["type"],
  request: ControlRequest,
): Promise<RunView> {
  const { runId, ...asked } = request;
  const key: RunKey = { tenantId: caller.tenantId, runId };
  // What was asked earlier, and lies in the run's mail, comes first: a late pause must not undo this unpause.
  await deliverMail(context, key);
  try {
    const { run } = await context.runs.exclusive(key, (entry) =>
      perform(context, entry, (now) => ({ ...asked, type: kind, now }), { runAhead: kind !== "cancel" }),
    );
    return viewOf(context, run);
  } catch (error) {
    const isBusy = error instanceof DomainError && error.reason === "TRANSITION_CONFLICT";
    if (!(error instanceof OwnedElsewhereError) && !isBusy) throw error;
    return viewOf(context, await sendMail(context, key, { kind, ...asked }));
  }
}

async function sendMail(
  context: EngineContext,
  key: RunKey,
  mail: { kind: ControlStimulus["type"]; actorId?: string; reason?: string },
): Promise<StoredRun> {
  const changed = createSignal();
  const unwatch = context.hub.watchRun(key, changed.raise);
  try {
    const delivery = { type: "mail", ...key, mail } as const;
    await context.laneOf(key).submit({ type: "delivery", delivery }, 500);
    context.tellOthers({ mail: key });
    // The run may have been parked or ended meanwhile: then this server acts on the mail itself.
    await deliverMail(context, key);
    await changed.wait(MAIL_WAIT_MS, new AbortController().signal);
  } finally {
    unwatch();
  }
  const run = await context.loadRun(key);
  if (run === undefined) throw runUnknown(key.runId);
  return run;
}

/**
 * Does now what is due for a run; a paused run takes up to `maxSteps` steps, each committed, and stays paused.
 * @throws {DomainError} RUN_UNKNOWN, RUN_ENDED
 */
export async function tickRun(
  context: EngineContext,
  caller: Caller,
  request: { runId: string; maxSteps: number },
): Promise<RunView> {
  const key: RunKey = { tenantId: caller.tenantId, runId: request.runId };
  for (let step = 0; step < Math.max(request.maxSteps, 1); step++) {
    const { plan, awaiting } = await context.runs
      .exclusive(key, (entry) =>
        perform(
          context,
          entry,
          (now, run) => {
            if (hasEnded(run)) throw runEnded(run.runId);
            return run.paused && hasNextStep(run) ? { type: "advance", now } : undefined;
          },
          { runAhead: false },
        ),
      )
      .catch((error: unknown) => {
        if (error instanceof OwnedElsewhereError) return { plan: undefined, awaiting: undefined };
        throw error;
      });
    if (awaiting !== undefined) {
      // The step is the handler's: it is taken when the handler has come back.
      await Promise.race([awaiting.done, pause(HANDLER_WAIT_MS)]);
      if (awaiting.outcome === undefined) break;
      step -= 1;
      continue;
    }
    if (plan === undefined || hasEnded(plan.after)) break;
  }
  await deliverMail(context, key);
  await wake(context, key);
  const run = await context.loadRun(key);
  if (run === undefined) throw runUnknown(request.runId);
  return viewOf(context, run);
}
