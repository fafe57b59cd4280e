-- Custom: what drizzle-kit does not generate.

-- `claim_jobs` of 0003, which says why it is a function: a server takes no job of a run whose format it does not know.
CREATE FUNCTION claim_jobs_2(p_server_id text, p_requests json, p_format_max int)
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
        -- The release before knew no queues: it left jobs of paused and of ended runs open.
        SELECT r.workflow_id, r.version, r.session_id FROM runs r
        WHERE r.tenant_id = j.tenant_id AND r.run_id = j.run_id AND r.status = 'running' AND NOT r.paused AND r.format <= p_format_max
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
  -- A job that was changed after this statement began, and is open still, is not seen here: it is passed over.
  WHERE j.ctid = p.row_place
  RETURNING p.request, p.place, j, p.workflow_id, p.version, p.session_id;
END
$$;--> statement-breakpoint

-- The release before calls this one, and knows 2.
CREATE OR REPLACE FUNCTION claim_jobs(p_server_id text, p_requests json)
RETURNS TABLE (request int, place int, job jobs, workflow_id text, version int, session_id text)
LANGUAGE sql
AS $$
  SELECT * FROM claim_jobs_2(p_server_id, p_requests, 2)
$$;
