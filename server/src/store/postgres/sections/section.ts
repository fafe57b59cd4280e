/**
 * A section is one kind of row in a commit: how its rows are sent, the SQL that reads and writes them, and (under the
 * same file name in store/memory/sections) its counterpart in memory.
 *
 * A commit has two phases. First the sections check, in the order of their list: each locks what it needs and may
 * refuse groups. After all refusals are known, the sections write, in the same order. No SQL of the second phase writes
 * a row of a refused group. So a group is committed whole or not at all, and does not affect its neighbours.
 */
import { type Channel, channelKey } from "../../../core/event.ts";
import type { Batch, Delivery, Transition } from "../../contract/batch.ts";

export type ParameterType = "json" | "text" | "int[]" | "bigint[]";

export type Section<Parameter extends string = string> = {
  readonly name: string;
  /**
   * Parameters of the function. "json" is a set of rows for `json_to_recordset`. The others are one column of some
   * rows; "text" has a line for each row.
   */
  readonly parameters: Readonly<Record<Parameter, ParameterType>>;
  /** Encodes the values of the parameters for a batch. Null: the batch has no such rows. */
  encode(contents: BatchContents): Record<Parameter, string | null>;
  /** Declarations of variables that this section, or a later one, uses. */
  readonly variables?: string;
  /** SQL of the first phase. May add to `refused`, `refused_by` and `causes`. */
  readonly check?: string;
  /** SQL of the second phase. Leaves out the groups in `refused`. */
  readonly write?: string;
};

/** A transition with its position in a batch. */
export type PlacedTransition = {
  /** The number of its group. */
  readonly item: number;
  /** Its number in the group. */
  readonly place: number;
  readonly transition: Transition;
};

/** A channel that a batch uses. */
export type TouchedChannel = {
  readonly channel: Channel;
  /** Its position in lock order, from 1, as in SQL arrays. */
  readonly index: number;
  /** How many events the batch has for it. */
  readonly events: number;
};

/** A batch, prepared for its sections. */
export type BatchContents = {
  readonly transitions: readonly PlacedTransition[];
  readonly deliveries: readonly { readonly item: number; readonly delivery: Delivery }[];
  /** By `channelKey`, in the order in which all servers lock channels. */
  readonly channels: ReadonlyMap<string, TouchedChannel>;
};

export function contentsOf(batch: Batch): BatchContents {
  const transitions: PlacedTransition[] = [];
  const deliveries: { item: number; delivery: Delivery }[] = [];
  for (const [item, entry] of batch.items.entries()) {
    if (entry.type === "delivery") deliveries.push({ item, delivery: entry.delivery });
    else for (const [place, transition] of entry.transitions.entries()) transitions.push({ item, place, transition });
  }
  return { transitions, deliveries, channels: touchedChannels(transitions, deliveries) };
}

function touchedChannels(
  transitions: readonly PlacedTransition[],
  deliveries: BatchContents["deliveries"],
): Map<string, TouchedChannel> {
  const events = new Map<string, { channel: Channel; events: number }>();
  const touch = (channel: Channel, count: number): void => {
    const key = channelKey(channel);
    const entry = events.get(key);
    if (entry === undefined) events.set(key, { channel, events: count });
    else entry.events += count;
  };
  for (const { transition } of transitions) {
    for (const event of transition.events) touch(event, 1);
    for (const { channel } of transition.expectChannels) touch(channel, 0);
  }
  for (const { delivery } of deliveries) if (delivery.type === "event") touch(delivery.event, 1);
  const inLockOrder = [...events].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return new Map(inLockOrder.map(([key, entry], place) => [key, { ...entry, index: place + 1 }]));
}

/** The first columns of every row of a transition. */
export function keyOf({ item, place, transition }: PlacedTransition): {
  item: number;
  transition: number;
  tenant_id: string;
  run_id: string;
} {
  return { item, transition: place, tenant_id: transition.tenantId, run_id: transition.runId };
}

/**
 * The value of a "json" parameter. JSON, because encoding it costs Node a third of what array literals of texts cost.
 * Rows that every step has are sent as columns instead: Postgres builds a hash table for each object of a JSON text,
 * which takes as long as finding a row.
 */
export function jsonOf(rows: readonly object[]): string | null {
  return rows.length === 0 ? null : JSON.stringify(rows);
}

/**
 * The value of a "text" parameter: a line for each row. Long JSON texts are sent this way, so that they are not escaped
 * and parsed as JSON within JSON. It works because no JSON text that this program writes has a line break or is empty.
 */
export function linesOf(texts: readonly string[]): string | null {
  return texts.length === 0 ? null : texts.join("\n");
}

/** The value of an "int[]" or "bigint[]" parameter. */
export function numbersOf(numbers: readonly number[]): string | null {
  return numbers.length === 0 ? null : `{${numbers.join()}}`;
}

/** The line of a missing value. */
export const NO_TEXT = "";

/**
 * Returns SQL that refuses groups.
 * @param rows a select of (item, transition, cause), in the order of the batch. A group may appear several times, and
 * may have been refused before; the first refusal counts (commit.ts).
 */
export function refuse(rows: string): string {
  return `
    SELECT
      refused || coalesce(array_agg(f.item), '{}'), refused_by || coalesce(array_agg(f.transition), '{}'),
      causes || coalesce(array_agg(f.cause), '{}')
    INTO refused, refused_by, causes
    FROM (${rows}) AS f (item, transition, cause);`;
}
