/** Mail for other runs: what transitions send, and what comes from outside any run. */
import type { MailDraft } from "../../contract/mail.ts";
import type { RunKey } from "../../contract/runs.ts";
import { jsonOf, type Section } from "./section.ts";
import { jsonText } from "../../../core/json/json-text.ts";

export const MAIL: Section<"p_mail"> = {
  name: "mail",
  parameters: { p_mail: "json" },
  encode({ transitions, deliveries }) {
    const rows = [
      ...transitions.flatMap(({ item, transition }) => transition.mail.map((letter) => rowOf(item, letter))),
      ...deliveries.flatMap(({ item, delivery }) =>
        delivery.type === "mail" ? [rowOf(item, { ...delivery.mail, ...delivery })] : [],
      ),
    ];
    // In the order of the batch, in which the letters are read.
    return { p_mail: jsonOf(rows.toSorted((a, b) => a.item - b.item).map((row, position) => ({ ...row, position }))) };
  },
  write: `
  IF p_mail IS NOT NULL THEN
    INSERT INTO mail (tenant_id, run_id, kind, body)
    SELECT m.tenant_id, m.run_id, m.kind, m.body
    FROM json_to_recordset(p_mail) AS m (item int, position int, tenant_id text, run_id text, kind text, body text)
    WHERE m.item <> ALL (refused)
    ORDER BY m.position;
  END IF;`,
};

function rowOf(item: number, { tenantId, runId, kind, body }: RunKey & MailDraft) {
  return { item, tenant_id: tenantId, run_id: runId, kind, body: jsonText(body) };
}
