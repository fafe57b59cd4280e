/** A batch as one statement: the call of the function that commit-batch.ts composes. */
import type { Batch, ConflictCause, ItemOutcome } from "../contract/batch.ts";
import { assertBatch } from "../assert-batch.ts";
import { COMMIT_BATCH, type CommitFunction } from "./commit-batch.ts";
import { commitErrorOf, isPlaceTaken } from "./errors.ts";
import type { Pool } from "./pools.ts";
import { contentsOf } from "./sections/section.ts";

type OutcomeRow = {
  item: number;
  outcome: "emitted" | "channel_moved" | ConflictCause;
  transition: number | null;
  number: number | null;
};

/** Commits a batch. @throws as `batches.commit` of the contract */
export async function commit(
  commits: Pick<Pool, "use">,
  batch: Batch,
  commitFunction = COMMIT_BATCH,
): Promise<ItemOutcome[]> {
  assertBatch(batch);
  const { laneId, batchNo } = batch;
  try {
    const parameters = parametersOf(batch, commitFunction);
    const call = commitFunction.callWith([...parameters.keys()]);
    const rows = await commits.use((sql) => sql<OutcomeRow[]>(call, laneId, batchNo, ...parameters.values()));
    return outcomesOf(batch, rows);
  } catch (error) {
    // The writer that took the place in the ledger came first. With several items, the lane finds out which one it was.
    if (batch.items.length === 1 && isPlaceTaken(error)) return [{ type: "conflict", transition: 0, cause: "record" }];
    throw commitErrorOf(error);
  }
}

/** Returns the size of what a commit of this batch sends, in bytes; for tests. */
export function parameterBytesOf(batch: Batch): number {
  return parametersOf(batch, COMMIT_BATCH)
    .values()
    .reduce((bytes, parameter) => bytes + Buffer.byteLength(parameter), 0);
}

/** The parameters that the batch needs, by name, in the order of the sections. */
function parametersOf(batch: Batch, { sections }: CommitFunction): Map<string, string> {
  const contents = contentsOf(batch);
  const parameters = new Map<string, string>();
  for (const section of sections) {
    for (const [name, value] of Object.entries(section.encode(contents))) {
      if (value !== null) parameters.set(name, value);
    }
  }
  return parameters;
}

/** Items without a row are committed, except that a delivered event without a number was a duplicate. */
function outcomesOf(batch: Batch, rows: OutcomeRow[]): ItemOutcome[] {
  const outcomes = batch.items.map<ItemOutcome>((item) =>
    item.type === "delivery" && item.delivery.type === "event" ? { type: "duplicate" } : { type: "committed" },
  );
  for (const { item, outcome, transition, number } of rows) {
    if (outcome === "emitted") {
      if (batch.items[item]?.type === "delivery" && number !== null) outcomes[item] = { type: "committed", number };
    } else if (outcomes[item]?.type === "committed") {
      // An item may be refused several times: the first refusal is the cause.
      outcomes[item] =
        outcome === "channel_moved"
          ? { type: "channel_moved", transition: transition ?? 0 }
          : { type: "conflict", transition: transition ?? 0, cause: outcome };
    }
  }
  return outcomes;
}
