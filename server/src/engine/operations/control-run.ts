/** Cancel, pause and unpause: an operator's control of a run. */
import { controlLetter } from "../../core/mail.ts";
import type { ControlStimulus } from "../../core/control-run.ts";
import { DomainError } from "../../core/errors.ts";
import { hasEnded, type RunState } from "../../core/run.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import type { Caller, ControlRequest, RunView } from "../api.ts";
import { actorOf } from "../caller.ts";
import type { Deadline } from "../deadline.ts";
import type { Neighbours } from "../neighbours.ts";
import { createSignal, type NoticeHub } from "../notice-hub.ts";
import { pause } from "../pause.ts";
import type { Reads } from "../reads.ts";
import { runUnknown } from "../refusals.ts";
import { OwnedElsewhereError } from "../retry.ts";
import type { RunViewer } from "../run-view.ts";
import { deliverMail } from "../stimuli/deliver-mail.ts";
import { performExclusive, type TransitionParts } from "../transition/perform.ts";

/** How long a reply waits until the run's owner, on another server, has acted on mail. */
const MAIL_WAIT_MS = 1_000;
/**
 * The pause before a second check of the run. It doubles with each check, because a busy run has news all the time: a
 * reply checks at most 9 times.
 */
const CHECK_PAUSE_MS = 5;

type Parts = {
  transitions: TransitionParts;
  hub: Pick<NoticeHub, "watchRun">;
  neighbours: Pick<Neighbours, "tell">;
  viewOf: RunViewer;
};

/**
 * Cancels, pauses or unpauses a run. If another server computes it, the request is sent to it as mail: the reply has
 * the run as it is by then, and the request takes effect at the run's next step.
 * @throws {DomainError} RUN_UNKNOWN, RUN_ENDED (pause), RUN_NOT_PAUSED (unpause)
 */
export async function controlRun(
  parts: Parts,
  caller: Caller,
  kind: ControlStimulus["type"],
  request: ControlRequest,
): Promise<RunView> {
  const { transitions, viewOf } = parts;
  const { runId, ...asked } = { ...request, ...actorOf(caller) };
  const key: RunKey = { tenantId: caller.tenantId, runId };
  // Earlier requests in the run's mail come first: a pause that was late must not undo this unpause.
  await deliverMail(transitions, key);
  try {
    const { run } = await performExclusive(transitions, key, (now) => ({ ...asked, type: kind, now }), {
      runAhead: kind !== "cancel",
      deadline: caller.deadline,
    });
    return viewOf(run);
  } catch (error) {
    const isBusy = error instanceof DomainError && error.reason === "TRANSITION_CONFLICT";
    if (!(error instanceof OwnedElsewhereError) && !isBusy) throw error;
    return viewOf(await sendMail(parts, key, kind, { asked, deadline: caller.deadline }));
  }
}

async function sendMail(
  { transitions, hub, neighbours }: Parts,
  key: RunKey,
  kind: ControlStimulus["type"],
  { asked, deadline }: { asked: Parameters<typeof controlLetter>[1]; deadline: Deadline | undefined },
): Promise<StoredRun> {
  const { lanes, reads } = transitions;
  const delivery = { type: "mail", ...key, mail: controlLetter(kind, asked) } as const;
  await lanes.laneOf(key).submit({ type: "delivery", delivery }, 500, deadline);
  neighbours.tell({ mail: key });
  // The run may have been parked or ended meanwhile: then this server acts on the mail itself.
  await deliverMail(transitions, key);
  await awaitControl({ reads, hub }, key, kind);
  const run = await reads.loadRun(key);
  if (run === undefined) throw runUnknown(key.runId);
  return run;
}

/** Whether the run shows that a request was acted on, or that it came too late. */
const IS_DONE: Readonly<Record<ControlStimulus["type"], (run: RunState) => boolean>> = {
  cancel: (run) => run.cancelling || hasEnded(run),
  pause: (run) => run.paused || hasEnded(run),
  unpause: (run) => !run.paused || hasEnded(run),
};

/** Waits until the run shows that its owner has acted on a request, for at most MAIL_WAIT_MS. */
export async function awaitControl(
  { reads, hub }: { reads: Pick<Reads, "loadRunHead">; hub: Pick<NoticeHub, "watchRun"> },
  key: RunKey,
  kind: ControlStimulus["type"],
): Promise<void> {
  const endAt = performance.now() + MAIL_WAIT_MS;
  const leftMs = () => endAt - performance.now();
  const never = new AbortController().signal;
  const changed = createSignal();
  const unwatch = hub.watchRun(key, changed.raise);
  try {
    // Most news of a run is of its own steps, which say nothing about the request.
    for (let checkPauseMs = CHECK_PAUSE_MS; leftMs() > 0; checkPauseMs *= 2) {
      const run = await reads.loadRunHead(key);
      if (run === undefined || IS_DONE[kind](run.state)) return;
      if (!(await changed.wait(Math.max(leftMs(), 0), never))) return;
      await pause(Math.max(Math.min(checkPauseMs, leftMs()), 0));
    }
  } finally {
    unwatch();
  }
}
