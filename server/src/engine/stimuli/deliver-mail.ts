/** Mail: what others leave for a run that they may not change themselves. Acted on once, in a transition of the run. */
import { DomainError } from "../../core/errors.ts";
import type { Mail } from "../../store/contract/mail.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { EngineContext } from "../context.ts";
import { OwnedElsewhereError, perform } from "../transition/perform.ts";

/** Acts on everything that lies in a run's mail. Whatever fails stays there for the sweep. */
export async function deliverMail(context: EngineContext, key: RunKey): Promise<void> {
  try {
    await context.runs.exclusive(key, async (entry) => {
      for (const mail of await context.loadMail(key)) {
        await perform(context, entry, (now) => ({ ...stimulusFrom(mail), now }), { consumedMail: [mail.mailId] }).catch(
          async (error: unknown) => {
            if (!(error instanceof DomainError) || !isAnswered(error)) throw error;
            // The run is as the sender wanted it, or has ended: nothing to do but to take the mail away.
            await perform(context, entry, () => undefined, { consumedMail: [mail.mailId] });
          },
        );
      }
    });
  } catch (error) {
    // The owner looks itself; a database that is away comes back; a run that is gone takes its mail with it.
    if (error instanceof OwnedElsewhereError || error instanceof DomainError) return;
    context.log.error({ err: error, runId: key.runId }, "acting on mail failed");
  }
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
