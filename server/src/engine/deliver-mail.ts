/** Mail: what others leave for a run that they may not change themselves. Acted on once, in a transition of the run. */
import type { ControlStimulus } from "../core/control-run.ts";
import { DomainError } from "../core/errors.ts";
import type { Mail } from "../store/contract/mail.ts";
import type { RunKey } from "../store/contract/runs.ts";
import type { EngineContext } from "./context.ts";
import { OwnedElsewhereError, perform } from "./perform.ts";
import type { RunEntry } from "./run-table.ts";

/** Acts on everything that lies in a run's mail. Whatever fails stays there for the sweep. */
export async function deliverMail(context: EngineContext, key: RunKey): Promise<void> {
  try {
    await context.runs.exclusive(key, async (entry) => {
      // A run's mail is read a part at a time.
      while ((await actOnSome(context, entry)) > 0);
    });
  } catch (error) {
    // The owner looks itself; a database that is away comes back; a run that is gone takes its mail with it.
    if (error instanceof OwnedElsewhereError || error instanceof DomainError) return;
    context.log.error({ err: error, runId: key.runId }, "acting on mail failed");
  }
}

/** Acts on what is read of a run's mail at once. @returns how many letters that was */
async function actOnSome(context: EngineContext, entry: RunEntry): Promise<number> {
  let acted = 0;
  for (const mail of await context.loadMail(entry.key)) {
    const stimulus = stimulusFrom(mail);
    // Of a newer release: a server that knows it acts on it.
    if (stimulus === undefined) continue;
    await perform(context, entry, (now) => ({ ...stimulus, now }), { consumedMail: [mail.mailId] }).catch(
      async (error: unknown) => {
        if (!(error instanceof DomainError) || !isAnswered(error)) throw error;
        // The run is as the sender wanted it, or has ended: nothing to do but to take the mail away.
        await perform(context, entry, () => undefined, { consumedMail: [mail.mailId] });
      },
    );
    acted += 1;
  }
  return acted;
}

function isAnswered(error: DomainError): boolean {
  return error.reason === "RUN_ENDED" || error.reason === "RUN_NOT_PAUSED";
}

/** What mail says that asks for control of a run. */
export type ControlMailBody = { actor_id?: string; reason?: string };

const CONTROLS: ReadonlySet<string> = new Set<ControlStimulus["type"]>(["cancel", "pause", "unpause"]);

function stimulusFrom({ kind, body }: Mail) {
  if (!CONTROLS.has(kind)) return undefined;
  const { actor_id: actorId, reason } = body as ControlMailBody;
  return {
    type: kind as ControlStimulus["type"],
    ...(actorId === undefined ? {} : { actorId }),
    ...(reason === undefined ? {} : { reason }),
  };
}
