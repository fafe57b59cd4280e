/** The ledger, read. */
import type { SealedRecord } from "../../core/ledger-format.ts";
import type { RunKey } from "../contract/runs.ts";
import type { Sql } from "./client.ts";
import type { LedgerStore } from "../contract/ledger.ts";
import type { Statements } from "../map-verbs.ts";

type RecordRow = {
  seq: number;
  header: string;
  hash: Buffer;
  body: string;
  body_salt: Buffer;
  given: string | null;
  given_salt: Buffer | null;
};

/** Records behind a seq, in order. */
async function listStepRecords(
  sql: Sql,
  { tenantId, runId }: RunKey,
  afterSeq: number,
  limit: number,
): Promise<SealedRecord[]> {
  const rows = await sql<RecordRow[]>`
    select seq, header, hash, body, body_salt, given, given_salt from step_records
    where tenant_id = ${tenantId} and run_id = ${runId} and seq > ${afterSeq}
    order by seq limit ${limit}`;
  return rows.map((row) => ({
    seq: row.seq,
    header: row.header,
    hash: row.hash.toString("hex"),
    body: row.body,
    bodySalt: row.body_salt,
    ...(row.given === null || row.given_salt === null ? {} : { given: row.given, givenSalt: row.given_salt }),
  }));
}

export const ledger: Statements<Sql, LedgerStore> = { list: listStepRecords };
