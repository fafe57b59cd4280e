/** The ledger, read. */
import type { SealedPart, SealedRecord } from "../../core/ledger-format.ts";
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
  /** Parts without a column of their own. */
  others: { name: string; text: string; salt: string }[] | null;
};

async function listStepRecords(
  sql: Sql,
  { tenantId, runId }: RunKey,
  afterSeq: number,
  limit: number,
): Promise<SealedRecord[]> {
  const rows = await sql<RecordRow[]>`
    select r.seq, r.header, r.hash, r.body, r.body_salt, r.given, r.given_salt, (
        select json_agg(
          json_build_object('name', p.name, 'text', p.text, 'salt', encode(p.salt, 'hex')) order by p.ordinal
        )
        from record_parts p where p.tenant_id = r.tenant_id and p.run_id = r.run_id and p.seq = r.seq
      ) as others
    from step_records r
    where r.tenant_id = ${tenantId} and r.run_id = ${runId} and r.seq > ${afterSeq}
    order by r.seq limit ${limit}`;
  return rows.map((row) => ({
    seq: row.seq,
    header: row.header,
    hash: row.hash.toString("hex"),
    parts: partsFromRow(row),
  }));
}

function partsFromRow({ body, body_salt, given, given_salt, others }: RecordRow): SealedPart[] {
  const parts: SealedPart[] = [{ name: "body", text: body, salt: body_salt }];
  if (given !== null && given_salt !== null) parts.push({ name: "given", text: given, salt: given_salt });
  for (const { name, text, salt } of others ?? []) parts.push({ name, text, salt: Buffer.from(salt, "hex") });
  return parts;
}

export const ledger: Statements<Sql, LedgerStore> = { list: listStepRecords };
