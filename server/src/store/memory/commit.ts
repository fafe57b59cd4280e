/** Commits a batch: each group all or nothing, and nothing at all of a batch that is fenced or rejected. */
import { assertBatch } from "../assert-batch.ts";
import type { Batch, ItemOutcome } from "../contract/batch.ts";
import type { MemoryDatabase } from "./database.ts";
import { BATCHES } from "./sections/batches.ts";
import { BEHIND } from "./sections/behind.ts";
import { CANCELS } from "./sections/cancels.ts";
import { CHANNELS } from "./sections/channels.ts";
import { CLOSINGS } from "./sections/closings.ts";
import { EVENTS } from "./sections/events.ts";
import { FENCE } from "./sections/fence.ts";
import { HOLDS } from "./sections/holds.ts";
import { JOBS } from "./sections/jobs.ts";
import { MAIL } from "./sections/mail.ts";
import { MOVES } from "./sections/moves.ts";
import { NOTICES } from "./sections/notices.ts";
import { PARTS } from "./sections/parts.ts";
import { READ_MAIL } from "./sections/read-mail.ts";
import { RECORD_PARTS } from "./sections/record-parts.ts";
import { RECORDS } from "./sections/records.ts";
import { type Section, takeInHand } from "./sections/section.ts";
import { SETTLEMENTS } from "./sections/settlements.ts";
import { STARTS } from "./sections/starts.ts";
import { WAITS } from "./sections/waits.ts";

/** In the order of store/postgres/commit-batch.ts. */
export const SECTIONS: readonly Section[] = [
  FENCE,
  CHANNELS,
  READ_MAIL,
  SETTLEMENTS,
  MOVES,
  BEHIND,
  CANCELS,
  HOLDS,
  STARTS,
  PARTS,
  RECORDS,
  RECORD_PARTS,
  CLOSINGS,
  WAITS,
  JOBS,
  MAIL,
  NOTICES,
  EVENTS,
  BATCHES,
];

export function commitBatch(database: MemoryDatabase, batch: Batch): ItemOutcome[] {
  assertBatch(batch);
  const hand = takeInHand(database, batch);
  for (const section of SECTIONS) section.check?.(hand);
  for (const section of SECTIONS) section.write?.(hand);
  return batch.items.map((_, item) => hand.outcomes.get(item) ?? { type: "committed" });
}
