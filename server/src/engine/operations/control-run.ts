/** Cancel, pause and unpause: an operator's control of a run. */
import type { MailDraft } from "../../store/contract/mail.ts";
import { controlLetter } from "../../core/mail.ts";
import type { ControlStimulus } from "../../core/control-run.ts";
import { DomainError } from "../../core/errors.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import type { Caller, ControlRequest, RunView } from "../api.ts";
import { actorOf } from "../caller.ts";
import type { Neighbours } from "../neighbours.ts";
import { createSignal, type NoticeHub } from "../notice-hub.ts";
import { runUnknown } from "../refusals.ts";
import { OwnedElsewhereError } from "../retry.ts";
import type { RunViewer } from "../run-view.ts";
import { deliverMail } from "../stimuli/deliver-mail.ts";
import { performExclusive, type TransitionParts } from "../transition/perform.ts";

/** How long a reply waits until the run's owner, on another server, has acted on mail. */
const MAIL_WAIT_MS = 1_000;

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
    });
    return viewOf(run);
  } catch (error) {
    const isBusy = error instanceof DomainError && error.reason === "TRANSITION_CONFLICT";
    if (!(error instanceof OwnedElsewhereError) && !isBusy) throw error;
    return viewOf(await sendMail(parts, key, controlLetter(kind, asked)));
  }
}

async function sendMail({ transitions, hub, neighbours }: Parts, key: RunKey, mail: MailDraft): Promise<StoredRun> {
  const changed = createSignal();
  const unwatch = hub.watchRun(key, changed.raise);
  try {
    const delivery = { type: "mail", ...key, mail } as const;
    await transitions.lanes.laneOf(key).submit({ type: "delivery", delivery }, 500);
    neighbours.tell({ mail: key });
    // The run may have been parked or ended meanwhile: then this server acts on the mail itself.
    await deliverMail(transitions, key);
    await changed.wait(MAIL_WAIT_MS, new AbortController().signal);
  } finally {
    unwatch();
  }
  const run = await transitions.reads.loadRun(key);
  if (run === undefined) throw runUnknown(key.runId);
  return run;
}
