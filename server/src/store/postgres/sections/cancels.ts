/** Jobs to cancel: all jobs of a run that are neither settled nor created by this batch. */
import { jsonOf, keyOf, type Section } from "./section.ts";

export const CANCELS: Section<"p_cancels"> = {
  name: "cancels",
  parameters: { p_cancels: "json" },
  encode: ({ transitions }) => ({
    p_cancels: jsonOf(transitions.filter(({ transition }) => transition.cancelJobs).map(keyOf)),
  }),
  check: `
  -- A claim may have a job locked, but a claim lasts only one statement and waits for nothing. Only a statement after
  -- the lock sees what the claim changed.
  IF p_cancels IS NOT NULL THEN
    PERFORM FROM json_to_recordset(p_cancels) AS c (item int, tenant_id text, run_id text),
      LATERAL (
        SELECT j.ctid FROM jobs j
        WHERE j.tenant_id = c.tenant_id AND j.run_id = c.run_id AND j.state NOT IN ('settled', 'cancelled')
        ORDER BY j.idempotency_key
        FOR NO KEY UPDATE
      ) AS locked
    WHERE c.item <> ALL (refused);
  END IF;`,
  write: `
  IF p_cancels IS NOT NULL THEN
    UPDATE jobs SET
      state = 'cancelled', due_at = NULL, lease_server = NULL, worker_session = NULL, lease_time = NULL
    FROM json_to_recordset(p_cancels) AS c (item int, tenant_id text, run_id text),
      LATERAL (
        SELECT j.ctid AS place FROM jobs j
        WHERE j.tenant_id = c.tenant_id AND j.run_id = c.run_id AND j.state NOT IN ('settled', 'cancelled')
        FOR NO KEY UPDATE
      ) AS locked
    WHERE jobs.ctid = locked.place AND c.item <> ALL (refused);
  END IF;`,
};
