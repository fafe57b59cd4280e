/** Step records: the ledger. */
import { partOf } from "../../../core/ledger-format.ts";
import { bytesToHex, hexToBytea } from "../run-row.ts";
import { jsonOf, linesOf, NO_TEXT, type Section } from "./section.ts";

export const RECORDS: Section<"p_records" | "p_record_headers" | "p_record_bodies" | "p_record_givens"> = {
  name: "records",
  parameters: { p_records: "json", p_record_headers: "text", p_record_bodies: "text", p_record_givens: "text" },
  encode({ transitions }) {
    const rows: object[] = [];
    const headers: string[] = [];
    const bodies: string[] = [];
    const givens: string[] = [];
    for (const { item, transition } of transitions) {
      const { tenantId: tenant_id, runId: run_id } = transition;
      for (const record of transition.records) {
        const body = partOf(record, "body");
        const given = partOf(record, "given");
        rows.push({
          item,
          tenant_id,
          run_id,
          seq: record.seq,
          hash: hexToBytea(record.hash),
          body_salt: body === undefined ? undefined : bytesToHex(body.salt),
          given_salt: given === undefined ? undefined : bytesToHex(given.salt),
        });
        headers.push(record.header);
        bodies.push(body?.text ?? NO_TEXT);
        givens.push(given?.text ?? NO_TEXT);
      }
    }
    return {
      p_records: jsonOf(rows),
      p_record_headers: linesOf(headers),
      p_record_bodies: linesOf(bodies),
      p_record_givens: linesOf(givens),
    };
  },
  variables: `
  -- The records of this batch, in its order.
  record_tenants text[];
  record_runs text[];
  record_seqs bigint[];
  record_hashes bytea[];`,
  write: `
  -- The texts of each record are a line in each of three. That a place in a ledger is taken is seen in the first phase; the key stands
  -- against two that come at once.
  IF p_records IS NOT NULL THEN
    WITH written AS (
      INSERT INTO step_records (tenant_id, run_id, seq, header, hash, body, body_salt, given, given_salt)
      SELECT r.tenant_id, r.run_id, r.seq, r.header, r.hash, r.body, r.body_salt, nullif(r.given, ''), r.given_salt
      FROM ROWS FROM (
        json_to_recordset(p_records) AS (
          item int, tenant_id text, run_id text, seq bigint, hash bytea, body_salt bytea, given_salt bytea
        ),
        string_to_table(p_record_headers, E'\\n'),
        string_to_table(p_record_bodies, E'\\n'),
        string_to_table(p_record_givens, E'\\n')
      ) AS r (item, tenant_id, run_id, seq, hash, body_salt, given_salt, header, body, given)
      WHERE r.item <> ALL (refused)
      RETURNING tenant_id, run_id, seq, hash
    )
    SELECT array_agg(w.tenant_id), array_agg(w.run_id), array_agg(w.seq), array_agg(w.hash)
    INTO record_tenants, record_runs, record_seqs, record_hashes
    FROM written w;
  END IF;`,
};
