/** New jobs, already leased if a worker was found before the commit. */
import { jsonOf, keyOf, type Section } from "./section.ts";
import { jsonText } from "../../../core/json/json-text.ts";

export const JOBS: Section<"p_jobs"> = {
  name: "jobs",
  parameters: { p_jobs: "json" },
  encode({ transitions }) {
    const rows = transitions.flatMap((placed) => {
      const { after, jobs } = placed.transition;
      return jobs.map((job) => ({
        ...keyOf(placed),
        idempotency_key: job.idempotency_key,
        seq: job.seq,
        node_id: job.nodeId,
        kind: job.kind,
        name: job.name,
        ordinal: job.ordinal,
        call_id: job.call_id,
        payload: jsonText(job.payload),
        state: job.lease !== undefined ? "leased" : job.dueTime !== undefined ? "delayed" : "open",
        fairness_key: job.fairnessKey,
        held: after.state.paused,
        due_at: job.dueTime,
        lease_server: job.lease?.serverId,
        worker_session: job.lease?.workerSessionId,
        losses: job.losses ?? 0,
        attempt: job.attempt ?? 1,
        timeout_ms: job.timeoutMs,
        heartbeat_timeout_ms: job.heartbeatTimeoutMs,
        queue_timeout_ms: job.queueTimeoutMs,
        delivery: job.delivery,
      }));
    });
    return { p_jobs: jsonOf(rows.map((row, place) => ({ ...row, place }))) };
  },
  write: `
  -- The table explains turns. Each job that waits takes two index probes; jobs of one batch and key follow each other.
  -- A job that is leased at once gets its turn only when it returns to the queue, and is then among the first.
  IF p_jobs IS NOT NULL THEN
    INSERT INTO jobs (
      tenant_id, idempotency_key, run_id, seq, node_id, kind, name, ordinal, call_id, payload, state, fairness_key,
      turn, held,
      due_at, lease_no, lease_server, worker_session, lease_time, losses, attempt, timeout_ms, heartbeat_timeout_ms,
      queue_timeout_ms, delivery
    )
    SELECT
      j.tenant_id, j.idempotency_key, j.run_id, j.seq, j.node_id, j.kind, j.name, j.ordinal, j.call_id, j.payload,
      j.state,
      j.fairness_key,
      greatest(queue.turn, own.turn + 1, 0)
        + row_number() OVER (PARTITION BY j.tenant_id, j.kind, j.name, j.fairness_key ORDER BY j.place) - 1,
      j.held,
      CASE j.state
        WHEN 'open' THEN now() + j.queue_timeout_ms * interval '1 millisecond'
        WHEN 'delayed' THEN j.due_at
      END,
      CASE j.state WHEN 'leased' THEN 1 ELSE 0 END, j.lease_server, j.worker_session,
      CASE j.state WHEN 'leased' THEN now() END,
      j.losses, j.attempt, j.timeout_ms, j.heartbeat_timeout_ms, j.queue_timeout_ms, j.delivery
    FROM json_to_recordset(p_jobs) AS j (
      item int, place int, tenant_id text, idempotency_key text, run_id text, seq bigint, node_id text, kind text,
      name text,
      ordinal int, call_id text, payload text, state text, fairness_key text, held boolean, due_at timestamptz,
      lease_server text, worker_session text, losses int, attempt int, timeout_ms bigint, heartbeat_timeout_ms bigint,
      queue_timeout_ms bigint, delivery text
    )
    LEFT JOIN LATERAL (
      SELECT o.turn FROM jobs o
      WHERE j.state <> 'leased' AND o.tenant_id = j.tenant_id AND o.kind = j.kind AND o.name = j.name
        AND o.state = 'open' AND NOT o.held AND o.turn >= 0
      ORDER BY o.turn LIMIT 1
    ) AS queue ON true
    LEFT JOIN LATERAL (
      SELECT o.turn FROM jobs o
      WHERE j.state <> 'leased' AND o.tenant_id = j.tenant_id AND o.kind = j.kind AND o.name = j.name
        AND o.fairness_key = j.fairness_key AND o.state = 'open' AND NOT o.held
      ORDER BY o.turn DESC LIMIT 1
    ) AS own ON true
    WHERE j.item <> ALL (refused)
    ORDER BY j.place;
  END IF;`,
};
