/**
 * Step records: the ledger. Their hashes are sent as one hex text, of which every record takes its slice. The salts of
 * bodies and givens are sent the same way, alternating.
 */
import assert from "node:assert/strict";
import { type SealedRecord, partOf, SALT_BYTES } from "../../../core/ledger-format.ts";
import { type BatchContents, linesOf, NO_TEXT, numbersOf, type Section } from "./section.ts";

export const HASH_BYTES = 32;
/** Stands for the salt of a part that does not exist. */
const NO_SALT = "00".repeat(SALT_BYTES);

export const RECORDS: Section<
  | "p_record_items"
  | "p_record_tenants"
  | "p_record_runs"
  | "p_record_seqs"
  | "p_record_hashes"
  | "p_record_salts"
  | "p_record_headers"
  | "p_record_bodies"
  | "p_record_givens"
> = {
  name: "records",
  parameters: {
    p_record_items: "int[]",
    p_record_tenants: "text",
    p_record_runs: "text",
    p_record_seqs: "bigint[]",
    p_record_hashes: "text",
    p_record_salts: "text",
    p_record_headers: "text",
    p_record_bodies: "text",
    p_record_givens: "text",
  },
  encode(contents) {
    const records = recordsOf(contents);
    const bodies: string[] = [];
    const givens: string[] = [];
    let hashes = "";
    let salts = "";
    for (const { record } of records) {
      const body = partOf(record, "body");
      const given = partOf(record, "given");
      assert(body !== undefined, "a record has a body");
      bodies.push(body.text);
      givens.push(given?.text ?? NO_TEXT);
      hashes += record.hash;
      salts += hexOf(body.salt) + (given === undefined ? NO_SALT : hexOf(given.salt));
    }
    return {
      p_record_items: numbersOf(records.map(({ item }) => item)),
      p_record_tenants: linesOf(records.map(({ tenantId }) => tenantId)),
      p_record_runs: linesOf(records.map(({ runId }) => runId)),
      p_record_seqs: numbersOf(records.map(({ record }) => record.seq)),
      p_record_hashes: records.length === 0 ? null : hashes,
      p_record_salts: records.length === 0 ? null : salts,
      p_record_headers: linesOf(records.map(({ record }) => record.header)),
      p_record_bodies: linesOf(bodies),
      p_record_givens: linesOf(givens),
    };
  },
  variables: `
  record_hashes bytea;
  record_salts bytea;`,
  write: `
  -- Each record has a line in each of three texts. The first phase detects that a place in a ledger is taken; the
  -- primary key guards against two writers at the same moment.
  IF p_record_items IS NOT NULL THEN
    record_hashes := decode(p_record_hashes, 'hex');
    record_salts := decode(p_record_salts, 'hex');
    INSERT INTO step_records (tenant_id, run_id, seq, header, hash, body, body_salt, given, given_salt)
    SELECT
      r.tenant_id, r.run_id, r.seq, r.header,
      substr(record_hashes, 1 + ${HASH_BYTES} * (r.number::int - 1), ${HASH_BYTES}),
      r.body, substr(record_salts, 1 + ${2 * SALT_BYTES} * (r.number::int - 1), ${SALT_BYTES}),
      nullif(r.given, ''),
      CASE WHEN r.given <> '' THEN
        substr(record_salts, 1 + ${SALT_BYTES} + ${2 * SALT_BYTES} * (r.number::int - 1), ${SALT_BYTES})
      END
    FROM ROWS FROM (
      unnest(p_record_items), string_to_table(p_record_tenants, E'\\n'), string_to_table(p_record_runs, E'\\n'),
      unnest(p_record_seqs), string_to_table(p_record_headers, E'\\n'), string_to_table(p_record_bodies, E'\\n'),
      string_to_table(p_record_givens, E'\\n')
    ) WITH ORDINALITY AS r (item, tenant_id, run_id, seq, header, body, given, number)
    WHERE r.item <> ALL (refused);
  END IF;`,
};

/** The records of a batch as they are sent: grouped by tenant, otherwise in the order of the batch. */
export function recordsOf({
  transitions,
}: BatchContents): { item: number; tenantId: string; runId: string; record: SealedRecord }[] {
  const records = transitions.flatMap(({ item, transition: { tenantId, runId, records } }) =>
    records.map((record) => ({ item, tenantId, runId, record })),
  );
  const tenants = new Set(records.map(({ tenantId }) => tenantId));
  if (tenants.size <= 1) return records;
  return [...Map.groupBy(records, ({ tenantId }) => tenantId).values()].flat();
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}
