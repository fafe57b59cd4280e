/** Jobs that settle or end an attempt. */
import { hexToBytea } from "../run-row.ts";
import { jsonOf, keyOf, refuse, type Section } from "./section.ts";

export const SETTLEMENTS: Section<"p_settlements"> = {
  name: "settlements",
  parameters: { p_settlements: "json" },
  encode: ({ transitions }) => ({
    p_settlements: jsonOf(
      transitions.flatMap((placed) =>
        placed.transition.settledJobs.map(({ idempotencyKey, leaseNo, onlyOpen, digest, retry }) => ({
          ...keyOf(placed),
          idempotency_key: idempotencyKey,
          lease_no: leaseNo,
          only_open: onlyOpen === true,
          digest: digest === undefined ? undefined : hexToBytea(digest),
          retry_attempt: retry?.attempt,
          due_at: retry?.dueTime,
        })),
      ),
    ),
  }),
  check: `
  -- The holder of the lease settles a job once. As with mail, a group is refused if its job is settled, leased again or
  -- locked by another transaction.
  IF p_settlements IS NOT NULL THEN${refuse(`
      SELECT s.item, s.transition, 'job'
      FROM json_to_recordset(p_settlements) AS s (
        item int, transition int, tenant_id text, run_id text, idempotency_key text, lease_no int, only_open boolean
      )
      LEFT JOIN LATERAL (
        SELECT j.lease_no AS found FROM jobs j
        WHERE j.tenant_id = s.tenant_id AND j.idempotency_key = s.idempotency_key
          -- In a CASE, so that no plan searches for the job among the jobs of its run.
          AND CASE
            WHEN j.run_id <> s.run_id OR j.lease_no <> s.lease_no THEN false
            WHEN s.only_open THEN j.state = 'open'
            ELSE j.state NOT IN ('settled', 'cancelled') AND j.settled_lease_no IS DISTINCT FROM s.lease_no
          END
        FOR NO KEY UPDATE SKIP LOCKED
      ) AS locked ON true
      WHERE locked.found IS NULL AND s.item <> ALL (refused)`)}
  END IF;`,
  write: `
  IF p_settlements IS NOT NULL THEN
    UPDATE jobs SET
      state = CASE WHEN s.retry_attempt IS NULL THEN 'settled' ELSE 'delayed' END,
      due_at = s.due_at, attempt = coalesce(s.retry_attempt, attempt),
      settled_lease_no = s.lease_no, settled_digest = s.digest,
      lease_server = NULL, worker_session = NULL, lease_time = NULL
    FROM json_to_recordset(p_settlements) AS s (
        item int, tenant_id text, idempotency_key text, lease_no int, digest bytea, retry_attempt int,
        due_at timestamptz
      ),
      LATERAL (
        SELECT j.ctid AS place FROM jobs j
        WHERE j.tenant_id = s.tenant_id AND j.idempotency_key = s.idempotency_key
        FOR NO KEY UPDATE
      ) AS locked
    WHERE jobs.ctid = locked.place AND s.item <> ALL (refused);
  END IF;`,
};
