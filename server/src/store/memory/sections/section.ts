/**
 * A section in memory: the twin of the one under the same file name in store/postgres/sections, which says how the two
 * phases of a commit work. All checks come before the first write, so that what a check throws leaves everything as it
 * was. No write throws.
 */
import assert from "node:assert/strict";
import { assertJson, type Json } from "../../../core/json/json.ts";
import type { Batch, ConflictCause, Delivery, ItemOutcome, Transition } from "../../contract/batch.ts";
import { BatchRejectedError } from "../../contract/errors.ts";
import { type LaneRow, type MemoryDatabase, rowKey, type RunRow, STORED_BOUNDS } from "../database.ts";

export type Section = {
  readonly name: string;
  /** What it does in the first phase: may refuse groups. @throws BatchRejectedError, LaneFencedError */
  readonly check?: (hand: BatchInHand) => void;
  /** What it does in the second phase, to what `committedOf` says. */
  readonly write?: (hand: BatchInHand) => void;
};

/** A transition at its place in a batch. */
export type PlacedTransition = { readonly item: number; readonly place: number; readonly transition: Transition };

/** A batch that is being committed. */
export type BatchInHand = {
  readonly database: MemoryDatabase;
  /** Undefined: there is no such lane. */
  readonly lane: LaneRow | undefined;
  readonly batchNo: number;
  readonly transitions: readonly PlacedTransition[];
  readonly deliveries: readonly { readonly item: number; readonly delivery: Delivery }[];
  /** By the number of the item. Absent: it is committed. */
  readonly outcomes: Map<number, ItemOutcome>;
};

export function takeInHand(database: MemoryDatabase, { laneId, batchNo, items }: Batch): BatchInHand {
  return {
    database,
    lane: database.lanes.get(laneId),
    batchNo,
    transitions: items.flatMap((entry, item) =>
      entry.type === "group" ? entry.transitions.map((transition, place) => ({ item, place, transition })) : [],
    ),
    deliveries: items.flatMap((entry, item) => (entry.type === "delivery" ? [{ item, delivery: entry.delivery }] : [])),
    outcomes: new Map(),
  };
}

/** Refuses every group in which a transition has a cause. Of several, the first counts. */
export function refuseIf(
  { transitions, outcomes }: BatchInHand,
  causeOf: (transition: Transition) => ConflictCause | "channel_moved" | undefined,
): void {
  for (const { item, place, transition } of transitions) {
    if (outcomes.has(item)) continue;
    const cause = causeOf(transition);
    if (cause === undefined) continue;
    const outcome: ItemOutcome =
      cause === "channel_moved" ? { type: cause, transition: place } : { type: "conflict", transition: place, cause };
    outcomes.set(item, outcome);
  }
}

/** The transitions of groups that are not refused. In a check: as far as is known. */
export function committedOf({ transitions, outcomes }: BatchInHand): Transition[] {
  return transitions.filter(({ item }) => !outcomes.has(item)).map(({ transition }) => transition);
}

/** The lane of a batch that the fence let in. */
export function laneOf({ lane }: BatchInHand): LaneRow {
  assert(lane !== undefined);
  return lane;
}

/** The row of a run that was moved or made. */
export function runOf({ database }: BatchInHand, { tenantId, runId }: Transition): RunRow {
  const row = database.runs.get(rowKey(tenantId, runId));
  assert(row !== undefined);
  return row;
}

/** Postgres has no text with a U+0000 in it. */
export function assertTexts(columns: Iterable<unknown>): void {
  for (const column of columns) {
    if (typeof column === "string" && column.includes("\0")) throw new BatchRejectedError("a text holds U+0000");
  }
}

/** Values that JSON text would change (undefined members, class instances) are bugs of whoever commits them. */
export function assertStorable(value: Json): void {
  try {
    assertJson(value, STORED_BOUNDS);
  } catch (error) {
    throw new BatchRejectedError("a value is not JSON", { cause: error });
  }
}
