/**
 * A section in memory: the counterpart of the file with the same name in store/postgres/sections, which explains the
 * two phases of a commit. All checks come before the first write, so an error in a check leaves everything unchanged.
 * No write throws.
 */
import assert from "node:assert/strict";
import { assertJson, type Json } from "../../../core/json/json.ts";
import type { Batch, ConflictCause, Delivery, ItemOutcome, Transition } from "../../contract/batch.ts";
import { BatchRejectedError } from "../../contract/errors.ts";
import { type LaneRow, type MemoryDatabase, rowKey, type RunRow, STORED_BOUNDS } from "../database.ts";

export type Section = {
  readonly name: string;
  /** The first phase: may refuse groups. @throws BatchRejectedError, LaneFencedError */
  readonly check?: (hand: BatchInHand) => void;
  /** The second phase, for the transitions that `committedOf` returns. */
  readonly write?: (hand: BatchInHand) => void;
};

/** A transition with its position in a batch. */
export type PlacedTransition = { readonly item: number; readonly place: number; readonly transition: Transition };

/** A batch that is being committed. */
export type BatchInHand = {
  readonly database: MemoryDatabase;
  /** Undefined if the lane does not exist. */
  readonly lane: LaneRow | undefined;
  readonly batchNo: number;
  readonly transitions: readonly PlacedTransition[];
  readonly deliveries: readonly { readonly item: number; readonly delivery: Delivery }[];
  /** By the number of the item. An item without an outcome is committed. */
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

/** Refuses every group in which a transition has a cause. If several have one, the first counts. */
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

/** Returns the transitions of groups that are not refused; during the checks, not refused so far. */
export function committedOf({ transitions, outcomes }: BatchInHand): Transition[] {
  return transitions.filter(({ item }) => !outcomes.has(item)).map(({ transition }) => transition);
}

/** The lane of a batch that passed the fence. */
export function laneOf({ lane }: BatchInHand): LaneRow {
  assert(lane !== undefined);
  return lane;
}

/** The row of a run that was moved or created. */
export function runOf({ database }: BatchInHand, { tenantId, runId }: Transition): RunRow {
  const row = database.runs.get(rowKey(tenantId, runId));
  assert(row !== undefined);
  return row;
}

/** Postgres cannot store U+0000 in text. */
export function assertTexts(columns: Iterable<unknown>): void {
  for (const column of columns) {
    if (typeof column === "string" && column.includes("\0")) throw new BatchRejectedError("a text contains U+0000");
  }
}

/** Values that JSON text would change (undefined members, class instances) are bugs of the caller that commits them. */
export function assertStorable(value: Json): void {
  try {
    assertJson(value, STORED_BOUNDS);
  } catch (error) {
    throw new BatchRejectedError("a value is not JSON", { cause: error });
  }
}
