/** The work that a server does for the database without a request; each kind has its own schedule. */
import type { RunKey } from "../../store/contract/runs.ts";
import type { Essentials } from "../essentials.ts";
import type { Lanes } from "../lanes/server-lease.ts";
import type { NoticeHub } from "../notice-hub.ts";
import { reportFailure } from "../report-failure.ts";
import type { ListenerWaker } from "../stimuli/wake-listeners.ts";
import type { TransitionParts } from "../transition/perform.ts";
import { createRunClaimer } from "./claim-runs.ts";
import { createLoop, createPass } from "./pass.ts";
import { createPoll } from "./poll.ts";
import { createSweep } from "./sweep.ts";

export type Maintenance = {
  start(): void;
  /** Takes over, in the background, the runs of servers that are gone. */
  claimRuns(): void;
  stop(): void;
};

export function createMaintenance(
  parts: Essentials & {
    lanes: Lanes;
    hub: NoticeHub;
    transitions: TransitionParts;
    listeners: Pick<ListenerWaker, "wakeListeners">;
    workers: { sweepStrays(): Promise<void> };
    advance: (key: RunKey) => void;
  },
): Maintenance {
  const { log, settings } = parts;
  const claims = createPass("claiming runs", log, createRunClaimer(parts).runOnce);
  const sweeps = createLoop(createPass("sweeping", log, createSweep(parts).runOnce), settings.strayMs);
  const polls = createLoop(createPass("polling", log, createPoll(parts).runOnce), settings.pollMs);
  return {
    start() {
      sweeps.start(0);
      polls.start(settings.pollMs);
    },
    claimRuns() {
      claims.run().catch(reportFailure(log, "claiming runs failed"));
    },
    stop() {
      sweeps.stop();
      polls.stop();
    },
  };
}
