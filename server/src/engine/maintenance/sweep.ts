import { LETTER_KINDS } from "../../core/mail.ts";
import type { Essentials } from "../essentials.ts";
import { deliverMail } from "../stimuli/deliver-mail.ts";
import type { ListenerWaker } from "../stimuli/wake-listeners.ts";
import type { TransitionParts } from "../transition/perform.ts";

const STRAYS_MAX = 200;

/** Deals with mail, events and jobs that a crash or a lost notice left undone. */
export function createSweep(
  parts: Pick<Essentials, "store" | "settings"> & {
    transitions: TransitionParts;
    listeners: Pick<ListenerWaker, "wakeListeners">;
    workers: { sweepStrays(): Promise<void> };
  },
): { runOnce(): Promise<{ mailed: number; channels: number }> } {
  const { store, settings, transitions, listeners, workers } = parts;
  return {
    async runOnce() {
      const { mailed, channels } = await store.mail.findStrays(settings.strayMs, STRAYS_MAX, LETTER_KINDS);
      await Promise.all([
        ...mailed.map((key) => deliverMail(transitions, key)),
        ...channels.map((channel) => listeners.wakeListeners(channel)),
        workers.sweepStrays(),
      ]);
      return { mailed: mailed.length, channels: channels.length };
    },
  };
}
