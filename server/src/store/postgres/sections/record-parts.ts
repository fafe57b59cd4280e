/** Parts of step records besides `body` and `given`, which have columns. */
import { bytesToHex } from "../run-row.ts";
import { jsonOf, type Section } from "./section.ts";

export const RECORD_PARTS: Section<"p_record_parts"> = {
  name: "record-parts",
  parameters: { p_record_parts: "json" },
  encode: ({ transitions }) => ({
    p_record_parts: jsonOf(
      transitions.flatMap(({ item, transition: { tenantId, runId, records } }) =>
        records.flatMap(({ seq, parts }) =>
          parts.flatMap(({ name, text, salt }, ordinal) =>
            name === "body" || name === "given"
              ? []
              : [{ item, tenant_id: tenantId, run_id: runId, seq, name, ordinal, text, salt: bytesToHex(salt) }],
          ),
        ),
      ),
    ),
  }),
  write: `
  IF p_record_parts IS NOT NULL THEN
    INSERT INTO record_parts (tenant_id, run_id, seq, name, ordinal, text, salt)
    SELECT p.tenant_id, p.run_id, p.seq, p.name, p.ordinal, p.text, p.salt
    FROM json_to_recordset(p_record_parts) AS p (
      item int, tenant_id text, run_id text, seq bigint, name text, ordinal int, text text, salt bytea
    )
    WHERE p.item <> ALL (refused);
  END IF;`,
};
