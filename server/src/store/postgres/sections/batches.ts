/** What a batch committed of each tenant's ledgers, for the log of record hashes. Follows from what `records` wrote. */
import type { Section } from "./section.ts";

export const BATCHES: Section<never> = {
  name: "batches",
  parameters: {},
  encode: () => ({}),
  write: `
  -- A run is at most once in a batch, so its records are neighbours.
  IF record_seqs IS NOT NULL THEN
    INSERT INTO batches (tenant_id, lane_id, batch_no, runs, hashes)
    SELECT
      r.tenant_id, p_lane_id, p_batch_no,
      string_agg(r.run_id || ' ' || r.first_seq || ' ' || r.records, E'\\n' ORDER BY r.place),
      string_agg(r.hashes, '' ORDER BY r.place)
    FROM (
      SELECT
        w.tenant_id, w.run_id, min(w.seq) AS first_seq, count(*) AS records, min(w.place) AS place,
        string_agg(w.hash, '' ORDER BY w.place) AS hashes
      FROM unnest(record_tenants, record_runs, record_seqs, record_hashes)
        WITH ORDINALITY AS w (tenant_id, run_id, seq, hash, place)
      GROUP BY w.tenant_id, w.run_id
    ) AS r
    GROUP BY r.tenant_id;
  END IF;`,
};
