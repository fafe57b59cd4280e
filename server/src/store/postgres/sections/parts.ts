/** Parts of runs' states that have rows of their own. */
import { jsonOf, linesOf, type Section } from "./section.ts";

export const PARTS: Section<"p_dropped_parts" | "p_parts" | "p_part_values"> = {
  name: "parts",
  parameters: { p_dropped_parts: "json", p_parts: "json", p_part_values: "text" },
  encode({ transitions }) {
    const dropped: object[] = [];
    const rows: object[] = [];
    const values: string[] = [];
    for (const placed of transitions) {
      const { parts, tenantId: tenant_id, runId: run_id } = placed.transition;
      if (parts === undefined) continue;
      const key = { item: placed.item, tenant_id, run_id };
      for (const part of parts.dropAll) dropped.push({ ...key, part });
      for (const { part, name } of parts.drop) dropped.push({ ...key, part, name });
      for (const { part, name, text } of parts.set) {
        rows.push({ ...key, part, name });
        values.push(text);
      }
    }
    return { p_dropped_parts: jsonOf(dropped), p_parts: jsonOf(rows), p_part_values: linesOf(values) };
  },
  write: `
  -- All parts belong to runs that this batch has moved or created, so no other transaction changes them. A drop without
  -- a name removes all rows of the part.
  IF p_dropped_parts IS NOT NULL THEN
    DELETE FROM run_parts
    USING json_to_recordset(p_dropped_parts) AS d (item int, tenant_id text, run_id text, part text, name text),
      LATERAL (
        SELECT p.ctid AS place FROM run_parts p
        WHERE p.tenant_id = d.tenant_id AND p.run_id = d.run_id AND p.part = d.part
          AND p.name = coalesce(d.name, p.name)
        FOR UPDATE
      ) AS locked
    WHERE run_parts.ctid = locked.place AND d.item <> ALL (refused);
  END IF;
  IF p_parts IS NOT NULL THEN
    INSERT INTO run_parts (tenant_id, run_id, part, name, value)
    SELECT p.tenant_id, p.run_id, p.part, p.name, p.value
    FROM ROWS FROM (
      json_to_recordset(p_parts) AS (item int, tenant_id text, run_id text, part text, name text),
      string_to_table(p_part_values, E'\\n')
    ) AS p (item, tenant_id, run_id, part, name, value)
    WHERE p.item <> ALL (refused)
    ON CONFLICT (tenant_id, run_id, part, name) DO UPDATE SET value = excluded.value;
  END IF;`,
};
