import type { RunKey } from "../../store/contract/runs.ts";
import type { Essentials } from "../essentials.ts";
import type { Lanes } from "../lanes/server-lease.ts";

/** Runs claimed at once from servers that are gone. */
const CLAIM_MAX = 500;

/** Takes over the active runs of servers that are gone, of this one's own earlier life too. */
export function createRunClaimer(
  parts: Pick<Essentials, "store" | "log"> & { lanes: Lanes; advance: (key: RunKey) => void },
): { runOnce(): Promise<{ claimed: number }> } {
  const { store, log, lanes, advance } = parts;
  return {
    async runOnce() {
      for (let claimed = 0; ;) {
        // Any lane will do: each run takes the lane that it is claimed by.
        const lane = lanes.anyLane();
        const keys = await store.runs.claim(lane.lease.laneId, CLAIM_MAX);
        if (keys.length > 0) log.info({ runs: keys.length }, "going on with the runs of a server that is gone");
        for (const key of keys) advance(key);
        claimed += keys.length;
        if (keys.length < CLAIM_MAX) return { claimed };
      }
    },
  };
}
