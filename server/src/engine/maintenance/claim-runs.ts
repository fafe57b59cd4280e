import type { RunKey } from "../../store/contract/runs.ts";
import type { Essentials } from "../essentials.ts";
import type { Lanes } from "../lanes/server-lease.ts";
import { deliverMailSoon } from "../stimuli/deliver-mail.ts";
import type { TransitionParts } from "../transition/perform.ts";

/** Runs of servers that are gone, claimed in one statement. */
const CLAIM_MAX = 500;

/**
 * Takes over the active runs of servers that are gone, including those of earlier leases of this server. A run's mail
 * is read before its next step: its owner may have died without reading it, and nobody else is told of it again.
 */
export function createRunClaimer(
  parts: Pick<Essentials, "store" | "log"> & {
    lanes: Lanes;
    transitions: TransitionParts;
    advance: (key: RunKey) => void;
  },
): { runOnce(): Promise<{ claimed: number }> } {
  const { store, log, lanes, transitions, advance } = parts;
  return {
    async runOnce() {
      for (let claimed = 0; ;) {
        // The choice of lane does not matter: each run takes the lane under which it is claimed.
        const lane = lanes.anyLane();
        const keys = await store.runs.claim(lane.lease.laneId, CLAIM_MAX);
        if (keys.length > 0) log.info({ runs: keys.length }, "taking over the runs of a server that is gone");
        for (const key of keys) {
          // Both wait for their turn at the run, and are taken in this order.
          deliverMailSoon(transitions, key);
          advance(key);
        }
        claimed += keys.length;
        if (keys.length < CLAIM_MAX) return { claimed };
      }
    },
  };
}
