/** Batches: committed by commit.ts, and resolved here if their reply was lost. */
import assert from "node:assert/strict";
import type { BatchStore } from "../contract/batch.ts";
import type { Statements } from "../map-verbs.ts";
import { commitBatch } from "./commit.ts";
import type { MemoryDatabase } from "./database.ts";

function resolveBatch(database: MemoryDatabase, laneId: number, batchNo: number): "committed" | "void" {
  const lane = database.lanes.get(laneId);
  assert(lane !== undefined, "a batch is resolved in a lane that was opened");
  const outcome = lane.batches.get(batchNo);
  if (outcome !== undefined) return outcome;
  lane.batches.set(batchNo, "void");
  return "void";
}

type BatchWriter = { database: MemoryDatabase; assertReachable: () => void };

export const batches: Statements<BatchWriter, BatchStore> = {
  commit: async ({ database, assertReachable }, batch) => {
    await database.faults.beforeCommit?.(batch);
    assertReachable();
    const outcomes = commitBatch(database, batch);
    await database.faults.afterCommit?.(batch);
    return outcomes;
  },
  list: ({ database }, { tenantId, laneId, afterBatchNo, limit }) =>
    structuredClone(
      (database.lanes.get(laneId)?.committed ?? [])
        .filter((batch) => batch.tenantId === tenantId && batch.batchNo > afterBatchNo)
        .slice(0, limit),
    ),
  resolve: ({ database }, laneId, batchNo) => resolveBatch(database, laneId, batchNo),
};
