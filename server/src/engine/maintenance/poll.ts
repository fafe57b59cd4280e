import type { Essentials } from "../essentials.ts";
import type { Lanes } from "../lanes/server-lease.ts";
import type { NoticeHub } from "../notice-hub.ts";

/** Makes watchers read again if anything was committed anywhere: a notice from another server may have been lost. */
export function createPoll(parts: Pick<Essentials, "store"> & { lanes: Pick<Lanes, "hasOthers">; hub: NoticeHub }): {
  runOnce(): Promise<{ news: number }>;
} {
  const { store, lanes, hub } = parts;
  let lastProgress = "";
  return {
    async runOnce() {
      // If there are no other servers, everything is published in this process.
      if (!lanes.hasOthers() || hub.watchers === 0) return { news: 0 };
      const states = await store.lanes.list(Number.MAX_SAFE_INTEGER);
      const progress = JSON.stringify(states.map(({ laneId, lastBatchNo }) => [laneId, lastBatchNo]));
      if (progress === lastProgress) return { news: 0 };
      lastProgress = progress;
      hub.publishToAll();
      return { news: 1 };
    },
  };
}
