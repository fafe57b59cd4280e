/** Batches: committed by commit.ts, and resolved here if their reply was lost. */
import type { BatchStore, CommittedBatch } from "../contract/batch.ts";
import type { Statements } from "../map-verbs.ts";
import type { Sql } from "./client.ts";
import { isLockTimeout } from "./errors.ts";

/** Voids the batch unless it was committed. Waits while the batch itself has the row locked. */
async function voidBatch(sql: Sql, laneId: number, batchNo: number): Promise<void> {
  await sql`
    with voided as (
      update lanes set last_batch_no = ${batchNo} where lane_id = ${laneId} and last_batch_no < ${batchNo}
      returning lane_id
    )
    insert into void_batches (lane_id, batch_no) select lane_id, ${batchNo}::bigint from voided`;
}

/** Batch numbers of a lane rise, so a number that is at most the last one, and that was not voided, was committed. */
async function isVoid(sql: Sql, laneId: number, batchNo: number): Promise<boolean> {
  const [row] = await sql<{ is_void: boolean }[]>`
    select exists (select from void_batches where lane_id = ${laneId} and batch_no = ${batchNo})
      or not exists (select from lanes where lane_id = ${laneId}) as is_void`;
  return row?.is_void ?? true;
}

/** Returns the final outcome of a batch. */
async function resolveBatch(sql: Sql, laneId: number, batchNo: number): Promise<"committed" | "void"> {
  for (;;) {
    try {
      await voidBatch(sql, laneId, batchNo);
      return (await isVoid(sql, laneId, batchNo)) ? "void" : "committed";
    } catch (error) {
      // A database may set a lock_timeout of its own, but whoever waits for this answer cannot continue without it.
      if (!isLockTimeout(error)) throw error;
    }
  }
}

type CommittedRow = { tenant_id: string; lane_id: number; batch_no: number; runs: string; hashes: Buffer };

async function listBatches(
  sql: Sql,
  request: { tenantId: string; laneId: number; afterBatchNo: number; limit: number },
): Promise<CommittedBatch[]> {
  const { tenantId, laneId, afterBatchNo, limit } = request;
  const rows = await sql<CommittedRow[]>`
    select tenant_id, lane_id, batch_no, runs, hashes from batches
    where tenant_id = ${tenantId} and lane_id = ${laneId} and batch_no > ${afterBatchNo}
    order by batch_no limit ${limit}`;
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    laneId: row.lane_id,
    batchNo: row.batch_no,
    runs: runsFromRow(row),
  }));
}

const HASH_BYTES = 32;

function runsFromRow({ runs, hashes }: CommittedRow): CommittedBatch["runs"] {
  let used = 0;
  return runs.split("\n").map((line) => {
    const [runId, firstSeq, records] = line.split(" ");
    const ofRun = Array.from({ length: Number(records) }, () => {
      used += HASH_BYTES;
      return hashes.toString("hex", used - HASH_BYTES, used);
    });
    return { runId: runId!, firstSeq: Number(firstSeq), hashes: ofRun };
  });
}

/** `commit` is in commit.ts. */
export const batches: Statements<Sql, Omit<BatchStore, "commit">> = { list: listBatches, resolve: resolveBatch };
