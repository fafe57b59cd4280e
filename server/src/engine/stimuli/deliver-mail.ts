/**
 * Mail: what others leave for a run that they may not change themselves. Each letter is read once, in one transition.
 */
import { DomainError } from "../../core/errors.ts";
import { isActive } from "../../core/run.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { Reaction } from "../reactions.ts";
import { reportDamage } from "../report-damage.ts";
import { reportFailure } from "../report-failure.ts";
import { OwnedElsewhereError } from "../retry.ts";
import { perform, type TransitionParts } from "../transition/perform.ts";

/** Acts on all of a run's mail. Letters that fail stay for the sweep. */
export async function deliverMail(parts: TransitionParts, key: RunKey): Promise<void> {
  try {
    await parts.runs.exclusive(key, async () => {
      // Mail is read in parts.
      for (;;) {
        const all = await parts.reads.loadMail(key);
        // A damaged letter stays where it is, and the others are acted on.
        const letters = all.filter(({ damage }) => !reportDamage(parts.log, damage));
        if (letters.length === 0) return;
        const consumedMail = letters.map(({ mailId }) => mailId);
        await perform(parts, key, (now) => ({ type: "mail", now, letters }), { consumedMail });
      }
    });
  } catch (error) {
    if (reportDamage(parts.log, error)) return;
    // The owner reads its own mail; an unavailable database comes back; the mail of a deleted run is deleted with it.
    if (error instanceof OwnedElsewhereError || error instanceof DomainError) return;
    parts.log.error({ err: error, runId: key.runId }, "acting on mail failed");
  }
}

/** Does the same in the background. */
export function deliverMailSoon(parts: TransitionParts, key: RunKey): void {
  deliverMail(parts, key).catch(reportFailure(parts.log, "acting on mail failed"));
}

/**
 * Reads the mail of a run once more after it has parked or ended. Mail that another server sent while the run was
 * active here may have come too late for its last step, and nothing else would read it soon.
 */
export function readMailOfParked(parts: TransitionParts): Reaction {
  return {
    committed({ key, run }) {
      if (!isActive(run.state) && parts.lanes.hasOthers()) deliverMailSoon(parts, key);
    },
  };
}
