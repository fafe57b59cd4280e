/** The fence: stops a batch whose lane has ended, or that was voided. */
import assert from "node:assert/strict";
import { BatchRejectedError, LaneFencedError } from "../../contract/errors.ts";
import { laneOf, type Section } from "./section.ts";

export const FENCE: Section = {
  name: "fence",
  check({ lane, batchNo }) {
    if (lane === undefined || lane.server.ended) throw new LaneFencedError("the lane has ended");
    if (lane.batches.has(batchNo))
      throw new BatchRejectedError(`batch ${batchNo} of lane ${lane.laneId} is already decided`);
    assert(batchNo > lane.lastBatchNo, "the batches of a lane are committed in order");
  },
  write(hand) {
    const lane = laneOf(hand);
    lane.batches.set(hand.batchNo, "committed");
    lane.lastBatchNo = hand.batchNo;
  },
};
