/**
 * Functions in the database that claim jobs and change their leases; jobs.ts calls them. They are functions so that
 * they have their own settings and plans.
 */
import { type DatabaseFunction, nameFunction } from "./functions.ts";

/**
 * Leases open jobs. The index of the queue returns them in order. A plan that sorts or reads the whole queue instead
 * would lock just as few jobs, but its time would grow with the queue. Jobs of runs whose format is newer than
 * `p_format_max` are skipped.
 */
export const CLAIM_JOBS = nameFunction(
  "claim_jobs",
  (name) => `CREATE FUNCTION ${name}(p_server_id text, p_requests json, p_format_max int)
RETURNS TABLE (request int, place int, job jobs, workflow_id text, version int, session_id text)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_sort = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH requests AS MATERIALIZED (
    SELECT * FROM json_to_recordset(p_requests) AS q (
      request int, tenant_id text, kind text, name text, versions int[], worker_sessions text[]
    )
  ), picked AS MATERIALIZED (
    SELECT
      q.request, (row_number() OVER (PARTITION BY q.request ORDER BY j.turn, j.position))::int AS place,
      q.worker_sessions, j.row_place, j.workflow_id, j.version, j.session_id
    FROM requests q CROSS JOIN LATERAL (
      SELECT j.ctid AS row_place, j.turn, j.position, run.workflow_id, run.version, run.session_id
      FROM jobs j CROSS JOIN LATERAL (
        SELECT r.workflow_id, r.version, r.session_id FROM runs r
        WHERE r.tenant_id = j.tenant_id AND r.run_id = j.run_id AND r.status = 'running' AND NOT r.paused
          AND r.format <= p_format_max
          AND (q.versions IS NULL OR r.version = ANY (q.versions))
        LIMIT 1
      ) AS run
      WHERE j.tenant_id = q.tenant_id AND j.kind = q.kind AND j.name = q.name AND j.state = 'open' AND NOT j.held
      ORDER BY j.turn, j.position
      LIMIT cardinality(q.worker_sessions)
      FOR NO KEY UPDATE OF j SKIP LOCKED
    ) AS j
  )
  UPDATE jobs j SET
    state = 'leased', lease_no = j.lease_no + 1, lease_server = p_server_id,
    worker_session = p.worker_sessions[p.place], lease_time = now(), due_at = NULL
  FROM picked p
  -- A job that changed after this statement began, and is still open, is not seen here: it is skipped.
  WHERE j.ctid = p.row_place
  RETURNING p.request, p.place, j, p.workflow_id, p.version, p.session_id;
END
$$;`,
);

/**
 * Changes leases that still hold.
 * - 'release' returns the job to its queue. If p_server_id is not null, only that server's leases are released.
 * - 'start' records that the job may have begun.
 * - 'adopt' moves the lease to p_server_id.
 *
 * The outcomes:
 * - 'done'
 * - 'gone': the lease no longer holds.
 * - 'busy': another transaction has the job locked; try again.
 * - 'running' and 'exhausted', of releases only: nothing changed.
 */
export const CHANGE_LEASES = nameFunction(
  "change_leases",
  (name) => `CREATE FUNCTION ${name}(p_change text, p_leases json, p_losses_max int, p_server_id text)
RETURNS TABLE (place int, outcome text)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH leases AS MATERIALIZED (
    SELECT * FROM json_to_recordset(p_leases) AS a (
      place int, tenant_id text, idempotency_key text, lease_no int, is_loss boolean
    )
  ), found AS MATERIALIZED (
    SELECT
      a.place, a.is_loss, j.row_place,
      CASE
        WHEN j.lease_no <> a.lease_no OR j.state NOT IN ('leased', 'running') THEN 'gone'
        WHEN p_change = 'release' AND j.lease_server <> p_server_id THEN 'gone'
        WHEN p_change <> 'release' THEN 'done'
        WHEN j.state = 'running' THEN 'running'
        WHEN a.is_loss AND j.losses >= p_losses_max THEN 'exhausted'
        ELSE 'done'
      END AS outcome
    FROM leases a CROSS JOIN LATERAL (
      SELECT j.ctid AS row_place, j.lease_no, j.lease_server, j.state, j.losses FROM jobs j
      WHERE j.tenant_id = a.tenant_id AND j.idempotency_key = a.idempotency_key
      FOR NO KEY UPDATE SKIP LOCKED
    ) AS j
  ), released AS (
    UPDATE jobs j SET
      state = 'open', losses = j.losses + f.is_loss::int,
      turn = CASE WHEN j.turn < 0 THEN j.turn ELSE j.turn - 1000000000000000 END,
      due_at = now() + j.queue_timeout_ms * interval '1 millisecond',
      lease_server = NULL, worker_session = NULL, lease_time = NULL
    FROM found f
    WHERE j.ctid = f.row_place AND f.outcome = 'done' AND p_change = 'release'
    RETURNING f.place
  ), kept AS (
    UPDATE jobs j SET
      state = CASE p_change WHEN 'start' THEN 'running' ELSE j.state END,
      lease_server = CASE p_change WHEN 'adopt' THEN p_server_id ELSE j.lease_server END
    FROM found f
    WHERE j.ctid = f.row_place AND f.outcome = 'done' AND p_change <> 'release'
    RETURNING f.place
  )
  SELECT a.place, CASE
      WHEN f.place IS NULL THEN CASE WHEN known.idempotency_key IS NULL THEN 'gone' ELSE 'busy' END
      -- If the job changed after this statement began, the locked version is one that the updates do not see.
      WHEN f.outcome = 'done' AND changed.place IS NULL THEN 'busy'
      ELSE f.outcome
    END
  FROM leases a
  LEFT JOIN found f ON f.place = a.place
  LEFT JOIN (SELECT released.place FROM released UNION ALL SELECT kept.place FROM kept) AS changed
    ON changed.place = a.place
  LEFT JOIN LATERAL (
    SELECT j.idempotency_key FROM jobs j
    WHERE j.tenant_id = a.tenant_id AND j.idempotency_key = a.idempotency_key LIMIT 1
  ) AS known ON f.place IS NULL;
END
$$;`,
);

export const JOB_FUNCTIONS: readonly DatabaseFunction[] = [CLAIM_JOBS, CHANGE_LEASES];
