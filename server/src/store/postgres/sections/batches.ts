/** What a batch committed to each tenant's ledgers, for the log of record hashes. */
import { HASH_BYTES, recordsOf } from "./records.ts";
import { type BatchContents, linesOf, numbersOf, type Section } from "./section.ts";

/** A line of `runs`. */
type RunOfBatch = { runId: string; firstSeq: number; records: number };

export const BATCHES: Section<"p_batch_tenants" | "p_batch_runs" | "p_batch_skipped" | "p_batch_records"> = {
  name: "batches",
  parameters: { p_batch_tenants: "text", p_batch_runs: "text", p_batch_skipped: "int[]", p_batch_records: "int[]" },
  encode(contents) {
    const tenants = tenantsOf(contents);
    return {
      p_batch_tenants: linesOf(tenants.map(({ tenantId }) => tenantId)),
      // Each value has several lines, so an empty line separates two values.
      p_batch_runs: tenants.length === 0 ? null : tenants.map(({ runs }) => runs.map(lineOf).join("\n")).join("\n\n"),
      p_batch_skipped: numbersOf(tenants.map(({ skipped }) => skipped)),
      p_batch_records: numbersOf(tenants.map(({ records }) => records)),
    };
  },
  write: `
  -- Each row is a slice of the hashes that \`records\` wrote. If some records were refused, it is built from the
  -- remaining ones instead.
  IF p_batch_tenants IS NOT NULL THEN
    IF cardinality(refused) = 0 THEN
      INSERT INTO batches (tenant_id, lane_id, batch_no, runs, hashes)
      SELECT
        b.tenant_id, p_lane_id, p_batch_no, b.runs,
        substr(record_hashes, 1 + ${HASH_BYTES} * b.skipped, ${HASH_BYTES} * b.records)
      FROM ROWS FROM (
        string_to_table(p_batch_tenants, E'\\n'), string_to_table(p_batch_runs, E'\\n\\n'), unnest(p_batch_skipped),
        unnest(p_batch_records)
      ) AS b (tenant_id, runs, skipped, records);
    ELSE
      INSERT INTO batches (tenant_id, lane_id, batch_no, runs, hashes)
      SELECT
        r.tenant_id, p_lane_id, p_batch_no,
        string_agg(r.run_id || ' ' || r.first_seq || ' ' || r.records, E'\\n' ORDER BY r.number),
        string_agg(
          substr(record_hashes, 1 + ${HASH_BYTES} * (r.number - 1), ${HASH_BYTES} * r.records), '' ORDER BY r.number
        )
      FROM (
        SELECT w.tenant_id, w.run_id, min(w.seq) AS first_seq, count(*)::int AS records, min(w.number)::int AS number
        FROM ROWS FROM (
          unnest(p_record_items), string_to_table(p_record_tenants, E'\\n'), string_to_table(p_record_runs, E'\\n'),
          unnest(p_record_seqs)
        ) WITH ORDINALITY AS w (item, tenant_id, run_id, seq, number)
        WHERE w.item <> ALL (refused)
        GROUP BY w.tenant_id, w.run_id
      ) AS r
      GROUP BY r.tenant_id;
    END IF;
  END IF;`,
};

type TenantOfBatch = {
  tenantId: string;
  runs: RunOfBatch[];
  /** The number of records of earlier tenants. */
  skipped: number;
  records: number;
};

/** Each tenant's share of a batch, if nothing is refused. */
function tenantsOf(contents: BatchContents): TenantOfBatch[] {
  const tenants: TenantOfBatch[] = [];
  for (const [place, { tenantId, runId, record }] of recordsOf(contents).entries()) {
    let tenant = tenants.at(-1);
    if (tenant?.tenantId !== tenantId) {
      tenant = { tenantId, runs: [], skipped: place, records: 0 };
      tenants.push(tenant);
    }
    tenant.records += 1;
    const run = tenant.runs.at(-1);
    // A run appears at most once in a batch, so its records are adjacent.
    if (run?.runId === runId) run.records += 1;
    else tenant.runs.push({ runId, firstSeq: record.seq, records: 1 });
  }
  return tenants;
}

function lineOf({ runId, firstSeq, records }: RunOfBatch): string {
  return `${runId} ${firstSeq} ${records}`;
}
