-- Custom: what drizzle-kit does not generate.

-- `commit_batch_2` of 0003 with large members of vars in rows of their own (p_members and p_member_lines), runs whose rows stay behind
-- their ledgers (p_behind), and the texts of records beside their rows, where nobody has to escape JSON in JSON (p_record_headers and
-- others). All else is as it was there, and in `commit_batch` of 0001, which says why it is a function and what its joins and settings are
-- for. The release before goes on calling the old one, which never comes to such runs: they are of a newer format.
--
-- Lock order: as in 0003.
CREATE FUNCTION commit_batch_3(
  p_lane_id bigint,
  p_batch_no bigint,
  p_channels json,
  p_expected json,
  p_moves json,
  p_move_items int[],
  p_behind json,
  p_starts json,
  p_payloads json,
  p_members json,
  p_member_lines text,
  p_records json,
  p_record_headers text,
  p_record_bodies text,
  p_record_givens text,
  p_events json,
  p_closings json,
  p_waits json,
  p_settlements json,
  p_cancels json,
  p_holds json,
  p_jobs json,
  p_read_mail json,
  p_mail json,
  p_notices json
) RETURNS TABLE (item int, outcome text, number bigint)
LANGUAGE plpgsql
SET lock_timeout = '1s'
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  channel record;
  channel_tenants text[] := '{}';
  channel_scopes text[] := '{}';
  channel_scope_ids text[] := '{}';
  -- The last number of each channel before this batch.
  channel_numbers bigint[] := '{}';
  channel_number bigint;
  -- Items that are not committed: because their channel moved, and because their run or their mail did.
  moved_on int[] := '{}';
  conflicts int[] := '{}';
  refused int[] := '{}';
  -- Starts under the id of a deleted run.
  reused int[] := '{}';
BEGIN
  -- The fence: an ended lane takes no batch, a number that was committed or voided cannot be used again. The row stays
  -- locked until the commit, so whoever ends the lane or settles the batch waits for it.
  UPDATE lanes SET last_batch_no = p_batch_no
  WHERE lane_id = p_lane_id AND ended_at IS NULL AND last_batch_no < p_batch_no;
  IF NOT FOUND THEN
    IF EXISTS (SELECT FROM lanes WHERE lane_id = p_lane_id AND ended_at IS NULL) THEN
      RAISE EXCEPTION 'batch % of lane % is decided already', p_batch_no, p_lane_id USING ERRCODE = 'AR002';
    END IF;
    RAISE EXCEPTION 'lane % has ended', p_lane_id USING ERRCODE = 'AR001';
  END IF;

  -- One by one, because the strength differs from channel to channel and the order must not. Emitters take as many numbers
  -- as they may need; those of refused items and duplicates are lost.
  IF p_channels IS NOT NULL THEN
    FOR channel IN
      SELECT c.tenant_id, c.scope, c.scope_id, c.events
      FROM json_to_recordset(p_channels) AS c (tenant_id text, scope text, scope_id text, events int, position int)
      ORDER BY c.position
    LOOP
      channel_number := NULL;
      IF channel.events = 0 THEN
        SELECT last_number INTO channel_number FROM channels
        WHERE tenant_id = channel.tenant_id AND scope = channel.scope AND scope_id = channel.scope_id
        FOR SHARE;
      END IF;
      IF channel_number IS NULL THEN
        INSERT INTO channels (tenant_id, scope, scope_id, last_number)
        VALUES (channel.tenant_id, channel.scope, channel.scope_id, channel.events)
        ON CONFLICT (tenant_id, scope, scope_id) DO UPDATE
          SET last_number = channels.last_number + excluded.last_number,
              emit_time = CASE WHEN excluded.last_number > 0 THEN now() ELSE channels.emit_time END
        RETURNING last_number - channel.events INTO channel_number;
      END IF;
      channel_tenants := channel_tenants || channel.tenant_id;
      channel_scopes := channel_scopes || channel.scope;
      channel_scope_ids := channel_scope_ids || channel.scope_id;
      channel_numbers := channel_numbers || channel_number;
    END LOOP;
    IF p_expected IS NOT NULL THEN
      SELECT coalesce(array_agg(e.item), '{}') INTO moved_on
      FROM json_to_recordset(p_expected) AS e (item int, channel int, up_to bigint)
      WHERE channel_numbers[e.channel] > e.up_to;
      refused := moved_on;
    END IF;
  END IF;

  -- Mail is acted on once: an item whose mail is gone, or is in the hands of another transaction, is refused here and so
  -- moves no run below. Mail that is there stays locked until it is deleted or the batch ends.
  IF p_read_mail IS NOT NULL THEN
    SELECT refused || coalesce(array_agg(DISTINCT m.item), '{}') INTO refused
    FROM json_to_recordset(p_read_mail) AS m (item int, tenant_id text, run_id text, mail_id bigint)
    LEFT JOIN LATERAL (
      SELECT l.mail_id AS found FROM mail l
      WHERE l.tenant_id = m.tenant_id AND l.run_id = m.run_id AND l.mail_id = m.mail_id
      FOR UPDATE SKIP LOCKED
    ) AS locked ON true
    WHERE locked.found IS NULL;
  END IF;

  -- Jobs are settled once, by whoever has the lease: as with mail, an item whose job is settled, leased again or in the hands of
  -- another transaction is refused here.
  IF p_settlements IS NOT NULL THEN
    SELECT refused || coalesce(array_agg(DISTINCT s.item), '{}') INTO refused
    FROM json_to_recordset(p_settlements) AS s (
      item int, tenant_id text, run_id text, idempotency_key text, lease_no int, only_open boolean
    )
    LEFT JOIN LATERAL (
      SELECT j.lease_no AS found FROM jobs j
      WHERE j.tenant_id = s.tenant_id AND j.idempotency_key = s.idempotency_key
        -- Within a case, so that no plan looks for the job among those of its run.
        AND CASE
          WHEN j.run_id <> s.run_id OR j.lease_no <> s.lease_no THEN false
          WHEN s.only_open THEN j.state = 'open'
          ELSE j.state NOT IN ('settled', 'cancelled') AND j.settled_lease_no IS DISTINCT FROM s.lease_no
        END
      FOR NO KEY UPDATE SKIP LOCKED
    ) AS locked ON true
    WHERE locked.found IS NULL;
  END IF;

  -- Locks and swaps. A row that someone else has locked counts as a conflict. A row that was changed without its seq after
  -- this statement began (a timer was claimed) is locked in a version the update does not see: a conflict as well.
  IF p_moves IS NOT NULL THEN
    WITH moved AS (
      UPDATE runs SET
        status = m.status, paused = m.paused, node = m.node, seq = m.seq, head_hash = m.head_hash,
        wait_reason = m.wait_reason, owner_lane = m.owner_lane, wake_at = m.wake_at, update_time = m.update_time,
        end_time = m.end_time, format = m.format, state = m.state
      FROM json_to_recordset(p_moves) AS m (
          item int, tenant_id text, run_id text, row_seq bigint, expected_seq bigint, status text, paused boolean, node text,
          seq bigint, head_hash bytea, wait_reason text, owner_lane bigint, wake_at timestamptz, update_time timestamptz,
          end_time timestamptz, format int, state text
        ),
        LATERAL (
          SELECT r.ctid AS place FROM runs r
          WHERE r.tenant_id = m.tenant_id AND r.run_id = m.run_id AND r.seq = m.row_seq
            -- Of a row that was behind: see p_behind.
            AND (m.row_seq = m.expected_seq OR EXISTS (
              SELECT FROM step_records s
              WHERE s.tenant_id = m.tenant_id AND s.run_id = m.run_id AND s.seq = m.expected_seq
            ))
          FOR NO KEY UPDATE SKIP LOCKED
        ) AS locked
      WHERE runs.ctid = locked.place AND m.item <> ALL (refused)
      RETURNING m.item
    )
    SELECT coalesce(array_agg(i), '{}') INTO conflicts
    FROM unnest(p_move_items) AS i
    WHERE i NOT IN (SELECT moved.item FROM moved) AND i <> ALL (moved_on);
  END IF;

  -- Runs whose rows stay behind their ledgers: the ledger goes on where the item does. That nobody else has gone on there says the key of
  -- the records, that the run is this lane's says the lane: whoever takes a run from it ends it first.
  IF p_behind IS NOT NULL THEN
    SELECT conflicts || coalesce(array_agg(b.item), '{}') INTO conflicts
    FROM json_to_recordset(p_behind) AS b (item int, tenant_id text, run_id text, expected_seq bigint)
    LEFT JOIN LATERAL (
      SELECT s.seq FROM step_records s
      WHERE s.tenant_id = b.tenant_id AND s.run_id = b.run_id AND s.seq = b.expected_seq
      LIMIT 1
    ) AS last ON true
    WHERE b.item <> ALL (moved_on) AND (last.seq IS NULL OR b.item = ANY (refused));
  END IF;

  IF p_starts IS NOT NULL THEN
    WITH starts AS MATERIALIZED (
      SELECT * FROM json_to_recordset(p_starts) AS s (
        item int, tenant_id text, run_id text, workflow_id text, version int, status text, paused boolean, node text,
        seq bigint, head_hash bytea, wait_reason text, owner_lane bigint, wake_at timestamptz, create_time timestamptz,
        update_time timestamptz, end_time timestamptz, session_id text, actor_id text, parent_run_id text,
        root_run_id text, labels jsonb, request_digest bytea, format int, state text
      )
    ), started AS (
      INSERT INTO runs (
        tenant_id, run_id, workflow_id, version, status, paused, node, seq, head_hash, wait_reason, owner_lane, wake_at,
        create_time, update_time, end_time, session_id, actor_id, parent_run_id, root_run_id, labels, request_digest,
        format, state
      )
      SELECT
        s.tenant_id, s.run_id, s.workflow_id, s.version, s.status, s.paused, s.node, s.seq, s.head_hash, s.wait_reason,
        s.owner_lane, s.wake_at, s.create_time, s.update_time, s.end_time, s.session_id, s.actor_id, s.parent_run_id,
        s.root_run_id, s.labels, s.request_digest, s.format, s.state
      FROM starts s
      WHERE s.item <> ALL (refused)
      -- A start waits for one of the same id that is being committed: in one order, so that two batches do not wait in a ring.
      ORDER BY s.tenant_id COLLATE "C", s.run_id COLLATE "C"
      ON CONFLICT (tenant_id, run_id) DO NOTHING
      RETURNING tenant_id, run_id
    )
    SELECT conflicts || coalesce(array_agg(s.item), '{}') INTO conflicts
    FROM starts s
    WHERE s.item <> ALL (moved_on)
      AND NOT EXISTS (SELECT FROM started WHERE started.tenant_id = s.tenant_id AND started.run_id = s.run_id);

    -- Looked at behind the insert, by a statement that sees more: the insert may have waited for the deletion itself.
    SELECT coalesce(array_agg(s.item), '{}') INTO reused
    FROM json_to_recordset(p_starts) AS s (item int, tenant_id text, run_id text),
      LATERAL (
        SELECT d.run_id FROM deleted_runs d WHERE d.tenant_id = s.tenant_id AND d.run_id = s.run_id LIMIT 1
      ) AS tombstone
    WHERE s.item <> ALL (refused || conflicts);
    IF cardinality(reused) > 0 THEN
      DELETE FROM runs
      USING json_to_recordset(p_starts) AS s (item int, tenant_id text, run_id text),
        LATERAL (
          SELECT r.ctid AS place FROM runs r WHERE r.tenant_id = s.tenant_id AND r.run_id = s.run_id FOR UPDATE
        ) AS locked
      WHERE runs.ctid = locked.place AND s.item = ANY (reused);
      conflicts := conflicts || reused;
    END IF;
  END IF;
  refused := refused || conflicts;

  -- Neither vars nor vars_rest: unchanged; one takes the place of the other. Null output: unchanged; '' (no JSON text): taken away.
  IF p_payloads IS NOT NULL THEN
    INSERT INTO run_payloads AS stored (tenant_id, run_id, vars, vars_rest, output)
    SELECT p.tenant_id, p.run_id, p.vars, p.vars_rest, p.output
    FROM json_to_recordset(p_payloads) AS p (
      item int, tenant_id text, run_id text, vars text, vars_rest text, output text
    )
    WHERE p.item <> ALL (refused)
    ON CONFLICT (tenant_id, run_id) DO UPDATE
      SET vars = CASE WHEN excluded.vars_rest IS NULL THEN coalesce(excluded.vars, stored.vars) END,
          vars_rest = CASE WHEN excluded.vars IS NULL THEN coalesce(excluded.vars_rest, stored.vars_rest) END,
          output = nullif(coalesce(excluded.output, stored.output), '');
  END IF;

  -- Members of vars that are kept apart: their rows are p_members, their values the lines of p_member_lines. An empty line (no JSON text;
  -- of no text at all there is none): the row is deleted. All belong to runs that this batch has moved or made, whose rows nobody else
  -- changes.
  IF p_members IS NOT NULL THEN
    DELETE FROM run_vars
    USING ROWS FROM (
        json_to_recordset(p_members) AS (item int, tenant_id text, run_id text, name text),
        string_to_table(p_member_lines, E'\n')
      ) AS m (item, tenant_id, run_id, name, value),
      LATERAL (
        SELECT v.ctid AS place FROM run_vars v
        WHERE v.tenant_id = m.tenant_id AND v.run_id = m.run_id AND v.name = m.name
        FOR UPDATE
      ) AS locked
    WHERE run_vars.ctid = locked.place AND coalesce(m.value, '') = '' AND m.item <> ALL (refused);
    INSERT INTO run_vars (tenant_id, run_id, name, value)
    SELECT m.tenant_id, m.run_id, m.name, m.value
    FROM ROWS FROM (
      json_to_recordset(p_members) AS (item int, tenant_id text, run_id text, name text),
      string_to_table(p_member_lines, E'\n')
    ) AS m (item, tenant_id, run_id, name, value)
    WHERE m.value <> '' AND m.item <> ALL (refused)
    ON CONFLICT (tenant_id, run_id, name) DO UPDATE SET value = excluded.value;
  END IF;

  -- The texts of each record are a line in each of three.
  IF p_records IS NOT NULL THEN
    INSERT INTO step_records (tenant_id, run_id, seq, header, hash, body, body_salt, given, given_salt)
    SELECT r.tenant_id, r.run_id, r.seq, r.header, r.hash, r.body, r.body_salt, nullif(r.given, ''), r.given_salt
    FROM ROWS FROM (
      json_to_recordset(p_records) AS (
        item int, tenant_id text, run_id text, seq bigint, hash bytea, body_salt bytea, given_salt bytea
      ),
      string_to_table(p_record_headers, E'\n'),
      string_to_table(p_record_bodies, E'\n'),
      string_to_table(p_record_givens, E'\n')
    ) AS r (item, tenant_id, run_id, seq, hash, body_salt, given_salt, header, body, given)
    WHERE r.item <> ALL (refused);
  END IF;

  IF p_closings IS NOT NULL THEN
    UPDATE waits SET
      close_time = c.close_time, closed_by = c.closed_by, closed_run_seq = c.run_seq, request_id = c.request_id,
      answered_by = c.actor_id
    FROM json_to_recordset(p_closings) AS c (
        item int, tenant_id text, wait_id text, close_time timestamptz, closed_by text, run_seq bigint, request_id text,
        actor_id text
      ),
      LATERAL (
        SELECT w.ctid AS place FROM waits w
        WHERE w.tenant_id = c.tenant_id AND w.wait_id = c.wait_id AND w.close_time IS NULL
        FOR NO KEY UPDATE
      ) AS locked
    WHERE waits.ctid = locked.place AND c.item <> ALL (refused);
  END IF;

  IF p_waits IS NOT NULL THEN
    INSERT INTO waits (
      tenant_id, wait_id, run_id, reason, seq, create_time, names, scope, scope_id, key, assignees, body
    )
    SELECT
      w.tenant_id, w.wait_id, w.run_id, w.reason, w.seq, w.create_time, w.names, w.scope, w.scope_id, w.key, w.assignees,
      w.body
    FROM json_to_recordset(p_waits) AS w (
      item int, tenant_id text, wait_id text, run_id text, reason text, seq bigint, create_time timestamptz, names text[],
      scope text, scope_id text, key text, assignees text[], body text
    )
    WHERE w.item <> ALL (refused);
  END IF;

  IF p_settlements IS NOT NULL THEN
    UPDATE jobs SET
      state = CASE WHEN s.retry_attempt IS NULL THEN 'settled' ELSE 'delayed' END,
      due_at = s.due_at, attempt = coalesce(s.retry_attempt, attempt),
      settled_lease_no = s.lease_no, settled_digest = s.digest,
      lease_server = NULL, worker_session = NULL, lease_time = NULL
    FROM json_to_recordset(p_settlements) AS s (
        item int, tenant_id text, idempotency_key text, lease_no int, digest bytea, retry_attempt int, due_at timestamptz
      ),
      LATERAL (
        SELECT j.ctid AS place FROM jobs j
        WHERE j.tenant_id = s.tenant_id AND j.idempotency_key = s.idempotency_key
        FOR NO KEY UPDATE
      ) AS locked
    WHERE jobs.ctid = locked.place AND s.item <> ALL (refused);
  END IF;

  -- Locked by a statement of its own: this may wait for a claim, and only the next statement sees what that has changed.
  IF p_cancels IS NOT NULL THEN
    PERFORM FROM json_to_recordset(p_cancels) AS c (item int, tenant_id text, run_id text),
      LATERAL (
        SELECT j.ctid FROM jobs j
        WHERE j.tenant_id = c.tenant_id AND j.run_id = c.run_id AND j.state NOT IN ('settled', 'cancelled')
        ORDER BY j.idempotency_key
        FOR NO KEY UPDATE
      ) AS locked
    WHERE c.item <> ALL (refused);
    UPDATE jobs SET
      state = 'cancelled', due_at = NULL, lease_server = NULL, worker_session = NULL, lease_time = NULL
    FROM json_to_recordset(p_cancels) AS c (item int, tenant_id text, run_id text),
      LATERAL (
        SELECT j.ctid AS place FROM jobs j
        WHERE j.tenant_id = c.tenant_id AND j.run_id = c.run_id AND j.state NOT IN ('settled', 'cancelled')
        FOR NO KEY UPDATE
      ) AS locked
    WHERE jobs.ctid = locked.place AND c.item <> ALL (refused);
  END IF;

  -- Open jobs that are let into their queue again wait as if they had just come. Those of a key keep their distances, but begin at no
  -- turn that is over, and come no later than new jobs would.
  IF p_holds IS NOT NULL THEN
    PERFORM FROM json_to_recordset(p_holds) AS h (item int, tenant_id text, run_id text),
      LATERAL (
        SELECT j.ctid FROM jobs j
        WHERE j.tenant_id = h.tenant_id AND j.run_id = h.run_id AND j.state NOT IN ('settled', 'cancelled')
        ORDER BY j.idempotency_key
        FOR NO KEY UPDATE
      ) AS locked
    WHERE h.item <> ALL (refused);
    WITH changing AS (
      SELECT
        h.held, locked.*, locked.state = 'open' AND NOT h.held AS is_back,
        row_number() OVER by_turn AS number, min(locked.turn) OVER by_key AS first_turn
      FROM json_to_recordset(p_holds) AS h (item int, tenant_id text, run_id text, held boolean),
        LATERAL (
          SELECT j.ctid AS place, j.tenant_id, j.kind, j.name, j.fairness_key, j.state, j.turn, j.position FROM jobs j
          WHERE j.tenant_id = h.tenant_id AND j.run_id = h.run_id AND j.held <> h.held
            AND j.state NOT IN ('settled', 'cancelled')
          FOR NO KEY UPDATE
        ) AS locked
      WHERE h.item <> ALL (refused)
      WINDOW
        by_key AS (
          PARTITION BY locked.tenant_id, locked.kind, locked.name, locked.fairness_key, locked.state = 'open' AND locked.turn >= 0
        ),
        by_turn AS (by_key ORDER BY locked.turn, locked.position)
    )
    UPDATE jobs SET
      held = c.held,
      turn = CASE WHEN c.is_back AND c.turn >= 0
        THEN least(
          c.turn + greatest(queue.turn - c.first_turn, 0),
          greatest(queue.turn, own.turn + 1, 0) + c.number - 1
        )
        ELSE c.turn END,
      due_at = CASE WHEN c.is_back THEN now() + queue_timeout_ms * interval '1 millisecond' ELSE due_at END
    FROM changing c
    LEFT JOIN LATERAL (
      SELECT o.turn FROM jobs o
      WHERE o.tenant_id = c.tenant_id AND o.kind = c.kind AND o.name = c.name
        AND o.state = 'open' AND NOT o.held AND o.turn >= 0
      ORDER BY o.turn LIMIT 1
    ) AS queue ON true
    LEFT JOIN LATERAL (
      SELECT o.turn FROM jobs o
      WHERE o.tenant_id = c.tenant_id AND o.kind = c.kind AND o.name = c.name AND o.fairness_key = c.fairness_key
        AND o.state = 'open' AND NOT o.held
      ORDER BY o.turn DESC LIMIT 1
    ) AS own ON true
    WHERE jobs.ctid = c.place;
  END IF;

  -- Turns: see the table. Two probes of an index for each job that waits; jobs of one batch and key follow each other. One that a worker
  -- has already gets a turn only when it comes back, and is then among the first.
  IF p_jobs IS NOT NULL THEN
    INSERT INTO jobs (
      tenant_id, idempotency_key, run_id, seq, node_id, kind, name, ordinal, call_id, payload, state, fairness_key, turn, held,
      due_at, lease_no, lease_server, worker_session, lease_time, losses, attempt, timeout_ms, heartbeat_timeout_ms,
      queue_timeout_ms, delivery
    )
    SELECT
      j.tenant_id, j.idempotency_key, j.run_id, j.seq, j.node_id, j.kind, j.name, j.ordinal, j.call_id, j.payload, j.state,
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
      item int, place int, tenant_id text, idempotency_key text, run_id text, seq bigint, node_id text, kind text, name text,
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
  END IF;

  IF p_read_mail IS NOT NULL THEN
    DELETE FROM mail
    USING json_to_recordset(p_read_mail) AS m (item int, tenant_id text, run_id text, mail_id bigint),
      LATERAL (
        SELECT l.ctid AS place FROM mail l
        WHERE l.tenant_id = m.tenant_id AND l.run_id = m.run_id AND l.mail_id = m.mail_id
        FOR UPDATE
      ) AS locked
    WHERE mail.ctid = locked.place AND m.item <> ALL (refused);
  END IF;

  IF p_mail IS NOT NULL THEN
    INSERT INTO mail (tenant_id, run_id, kind, actor_id, reason)
    SELECT m.tenant_id, m.run_id, m.kind, m.actor_id, m.reason
    FROM json_to_recordset(p_mail) AS m (item int, tenant_id text, run_id text, kind text, actor_id text, reason text)
    ORDER BY m.item;
  END IF;

  IF p_notices IS NOT NULL THEN
    -- One time for the batch, by the database's clock: whoever builds on what was committed here commits later by it, so a
    -- merge of the lanes by time never shows a run's notices out of their order.
    INSERT INTO feed (tenant_id, lane_id, batch_no, ordinal, run_id, kind, seq, time)
    SELECT n.tenant_id, p_lane_id, p_batch_no, n.ordinal, n.run_id, n.kind, n.seq, batch_time.value
    FROM json_to_recordset(p_notices) AS n (item int, ordinal int, tenant_id text, run_id text, kind text, seq bigint)
    CROSS JOIN (SELECT clock_timestamp() AS value OFFSET 0) AS batch_time
    WHERE n.item <> ALL (refused);
  END IF;

  -- An event_id that its channel has already is skipped; whoever delivered it finds no number for it in what is returned.
  IF p_events IS NOT NULL THEN
    RETURN QUERY
    WITH drafts AS MATERIALIZED (
      SELECT e.*, channel_numbers[e.channel] + e.position AS event_number
      FROM json_to_recordset(p_events) AS e (
        item int, channel int, position int, event_id text, name text, key text, payload text, emit_time timestamptz,
        actor_id text
      )
      WHERE e.item <> ALL (refused)
    ), emitted AS (
      INSERT INTO events (
        tenant_id, scope, scope_id, number, event_id, name, key, payload, emit_time, actor_id
      )
      SELECT
        channel_tenants[d.channel], channel_scopes[d.channel], channel_scope_ids[d.channel], d.event_number, d.event_id,
        d.name, d.key, d.payload, d.emit_time, d.actor_id
      FROM drafts d
      ORDER BY d.channel, d.position
      ON CONFLICT (tenant_id, scope, scope_id, event_id) DO NOTHING
      RETURNING tenant_id, scope, scope_id, number
    )
    SELECT d.item, 'emitted'::text, d.event_number
    FROM drafts d
    JOIN emitted e ON e.number = d.event_number
      AND e.tenant_id = channel_tenants[d.channel]
      AND e.scope = channel_scopes[d.channel]
      AND e.scope_id = channel_scope_ids[d.channel];
  END IF;

  IF cardinality(moved_on) > 0 THEN
    RETURN QUERY SELECT i, 'channel_moved'::text, NULL::bigint FROM unnest(moved_on) AS i;
  END IF;
  IF cardinality(conflicts) > 0 THEN
    RETURN QUERY SELECT i, 'conflict'::text, NULL::bigint FROM unnest(conflicts) AS i;
  END IF;
END
$$;
