/** Mail: what others leave for a run that they may not change themselves. Acted on once, in a transition of the run. */
import { DomainError } from "../../core/errors.ts";
import { isActive } from "../../core/run.ts";
import type { Mail } from "../../store/contract/mail.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { Reaction } from "../reactions.ts";
import { reportFailure } from "../report-failure.ts";
import { OwnedElsewhereError } from "../retry.ts";
import { perform, type TransitionParts } from "../transition/perform.ts";

/** Acts on everything that lies in a run's mail. Whatever fails stays there for the sweep. */
export async function deliverMail(parts: TransitionParts, key: RunKey): Promise<void> {
  try {
    await parts.runs.exclusive(key, async () => {
      for (const mail of await parts.reads.loadMail(key)) {
        await perform(parts, key, (now) => ({ ...stimulusFrom(mail), now }), { consumedMail: [mail.mailId] }).catch(
          async (error: unknown) => {
            if (!(error instanceof DomainError) || !isAnswered(error)) throw error;
            // The run is as the sender wanted it, or has ended: nothing to do but to take the mail away.
            await perform(parts, key, () => undefined, { consumedMail: [mail.mailId] });
          },
        );
      }
    });
  } catch (error) {
    // The owner looks itself; a database that is away comes back; a run that is gone takes its mail with it.
    if (error instanceof OwnedElsewhereError || error instanceof DomainError) return;
    parts.log.error({ err: error, runId: key.runId }, "acting on mail failed");
  }
}

/** The same in the background. */
export function deliverMailSoon(parts: TransitionParts, key: RunKey): void {
  deliverMail(parts, key).catch(reportFailure(parts.log, "acting on mail failed"));
}

/**
 * Reads the mail of a run that has parked or ended once more: what another server has sent while the run was active
 * here may have come too late for its last step, and nobody else looks.
 */
export function readMailOfParked(parts: TransitionParts): Reaction {
  return {
    committed({ key, run }) {
      if (!isActive(run.state) && parts.lanes.hasOthers()) deliverMailSoon(parts, key);
    },
  };
}

function isAnswered(error: DomainError): boolean {
  return error.reason === "RUN_ENDED" || error.reason === "RUN_NOT_PAUSED";
}

function stimulusFrom(mail: Mail) {
  const { kind, actorId, reason } = mail;
  return {
    type: kind,
    ...(actorId === undefined ? {} : { actorId }),
    ...(reason === undefined ? {} : { reason }),
  } as const;
}
