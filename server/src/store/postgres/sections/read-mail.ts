/** Mail that a transition acts on: deleted, once. */
import { jsonOf, keyOf, refuse, type Section } from "./section.ts";

export const READ_MAIL: Section<"p_read_mail"> = {
  name: "read-mail",
  parameters: { p_read_mail: "json" },
  encode: ({ transitions }) => ({
    p_read_mail: jsonOf(
      transitions.flatMap((placed) =>
        placed.transition.consumedMail.map((mailId) => ({ ...keyOf(placed), mail_id: mailId })),
      ),
    ),
  }),
  check: `
  -- A group is refused if its mail is gone or another transaction has it locked. Mail that is found stays locked until
  -- it is deleted or the batch ends.
  IF p_read_mail IS NOT NULL THEN${refuse(`
      SELECT m.item, m.transition, 'mail'
      FROM json_to_recordset(p_read_mail) AS m (item int, transition int, tenant_id text, run_id text, mail_id bigint)
      LEFT JOIN LATERAL (
        SELECT l.mail_id AS found FROM mail l
        WHERE l.tenant_id = m.tenant_id AND l.run_id = m.run_id AND l.mail_id = m.mail_id
        FOR UPDATE SKIP LOCKED
      ) AS locked ON true
      WHERE locked.found IS NULL AND m.item <> ALL (refused)`)}
  END IF;`,
  write: `
  IF p_read_mail IS NOT NULL THEN
    DELETE FROM mail
    USING json_to_recordset(p_read_mail) AS m (item int, tenant_id text, run_id text, mail_id bigint),
      LATERAL (
        SELECT l.ctid AS place FROM mail l
        WHERE l.tenant_id = m.tenant_id AND l.run_id = m.run_id AND l.mail_id = m.mail_id
        FOR UPDATE
      ) AS locked
    WHERE mail.ctid = locked.place AND m.item <> ALL (refused);
  END IF;`,
};
