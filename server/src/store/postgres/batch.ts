/** Batches: committed by commit.ts, and what became of one whose reply was lost. */
import type { BatchStore } from "../contract/batch.ts";
import type { Statements } from "../map-verbs.ts";
import type { Sql } from "./client.ts";
import { commit } from "./commit.ts";
import { isLockTimeout } from "./errors.ts";

/** Voids the batch unless it was committed. Waits while the row is locked by the batch itself. */
async function voidBatch(sql: Sql, laneId: number, batchNo: number): Promise<void> {
  await sql`
    with voided as (
      update lanes set last_batch_no = ${batchNo} where lane_id = ${laneId} and last_batch_no < ${batchNo}
      returning lane_id
    )
    insert into void_batches (lane_id, batch_no) select lane_id, ${batchNo}::bigint from voided`;
}

/** Numbers of a lane rise, so a batch that is not above the last one and was not voided was committed. */
async function isVoid(sql: Sql, laneId: number, batchNo: number): Promise<boolean> {
  const [row] = await sql<{ is_void: boolean }[]>`
    select exists (select from void_batches where lane_id = ${laneId} and batch_no = ${batchNo})
      or not exists (select from lanes where lane_id = ${laneId}) as is_void`;
  return row?.is_void ?? true;
}

/** Says what became of a batch, once and for all. */
async function settleBatch(sql: Sql, laneId: number, batchNo: number): Promise<"committed" | "void"> {
  for (;;) {
    try {
      await voidBatch(sql, laneId, batchNo);
      return (await isVoid(sql, laneId, batchNo)) ? "void" : "committed";
    } catch (error) {
      // A database may have a lock_timeout of its own; whoever waits for this answer can do nothing without it.
      if (!isLockTimeout(error)) throw error;
    }
  }
}

type BatchConnections = {
  /** Of their own: commits never wait behind reads. */
  commits: Sql;
  /** Opens a connection for one question. */
  openFresh: () => Sql;
};

export const batches: Statements<BatchConnections, BatchStore> = {
  commit: ({ commits }, batch) => commit(commits, batch),
  settle: async ({ openFresh }, laneId, batchNo) => {
    // Fresh, because the connections of the pool may be as dead as the one that carried the batch.
    const fresh = openFresh();
    try {
      return await settleBatch(fresh, laneId, batchNo);
    } finally {
      await fresh.end({ timeout: 0 });
    }
  },
};
