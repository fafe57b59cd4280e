import { expect, test } from "vitest";
import type { Instant } from "../core/duration.ts";
import type { FeedEntry } from "./contract/feed.ts";
import { mergeFeed } from "./merge-feed.ts";

/** A lane's entries, each as `run seq second`. */
function laneOf(laneId: number, ...entries: string[]): FeedEntry[] {
  return entries.map((text, ordinal) => {
    const [runId = "", seq, second = ""] = text.split(" ");
    const time = `2026-01-01T00:00:${second.padStart(2, "0")}.000000Z` as Instant;
    return { tenantId: "t", runId, laneId, batchNo: 1, ordinal, kind: "started", seq: Number(seq), time };
  });
}

const shown = (entries: FeedEntry[]) => entries.map(({ runId, seq }) => `${runId}${seq}`).join(" ");

test("lanes are merged by time", () => {
  const lanes = [laneOf(1, "a 1 1", "a 2 4"), laneOf(2, "b 1 2", "b 2 3")];
  expect(shown(mergeFeed(lanes, 10))).toBe("a1 b1 b2 a2");
  expect(shown(mergeFeed(lanes, 3))).toBe("a1 b1 b2");
});

test("a run that moved to another lane keeps its order, although the clock was set back in between", () => {
  const lanes = [laneOf(1, "a 1 40", "b 1 41", "c 3 2"), laneOf(2, "c 1 39", "b 2 1", "a 2 2")];
  expect(shown(mergeFeed(lanes, 10))).toBe("c1 a1 b1 b2 c3 a2");
});
