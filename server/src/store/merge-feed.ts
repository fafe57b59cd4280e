/** Merges the feeds of lanes, so that each lane and each run keeps its order. */
import type { FeedEntry } from "./contract/feed.ts";

/**
 * Always takes the earliest of the lanes' heads. But a run that has moved from one lane to another keeps its order by
 * seq, also if the database's clock was set back in between: a head waits for its run's earlier notices in other lanes.
 * @param lanes the next entries of each lane, in the lane's order
 */
export function mergeFeed(lanes: readonly (readonly FeedEntry[])[], limit: number): FeedEntry[] {
  const heads = lanes.map((entries) => ({ entries, next: 0 }));
  const waiting = seqsByRun(lanes);
  const merged: FeedEntry[] = [];
  while (merged.length < limit) {
    let first: { head: (typeof heads)[number]; entry: FeedEntry; isInOrder: boolean } | undefined;
    for (const head of heads) {
      const entry = head.entries[head.next];
      if (entry === undefined) continue;
      const isInOrder = waiting.get(entry.runId)!.at(-1)! >= entry.seq;
      if (first === undefined || comesBefore({ entry, isInOrder }, first)) first = { head, entry, isInOrder };
    }
    if (first === undefined) break;
    first.head.next += 1;
    const seqs = waiting.get(first.entry.runId)!;
    seqs.splice(seqs.lastIndexOf(first.entry.seq), 1);
    merged.push(first.entry);
  }
  return merged;
}

type Candidate = { entry: FeedEntry; isInOrder: boolean };

/** Lanes in the order of their commits contradict no run, so a head that waits always waits for another one. */
function comesBefore(a: Candidate, b: Candidate): boolean {
  if (a.isInOrder !== b.isInOrder) return a.isInOrder;
  return a.entry.time === b.entry.time ? a.entry.laneId < b.entry.laneId : a.entry.time < b.entry.time;
}

/** The seqs of each run's notices, the lowest last. */
function seqsByRun(lanes: readonly (readonly FeedEntry[])[]): Map<string, number[]> {
  const seqs = new Map<string, number[]>();
  for (const { runId, seq } of lanes.flat()) {
    const known = seqs.get(runId);
    if (known === undefined) seqs.set(runId, [seq]);
    else known.push(seq);
  }
  for (const known of seqs.values()) known.sort((a, b) => b - a);
  return seqs;
}
