/**
 * The tables, their invariants and indexes. `npm run generate` turns a change here into a migration.
 *
 * The ledger, `step_records` with `record_parts`, is authoritative. `runs` and `run_parts` cache its fold; for active
 * runs they may be behind it (store/row-behind.ts). `waits` is an index of the waits in the ledger. Only the function
 * of commit-batch.ts writes runs, parts, records, waits, events, jobs, mail, feed and batches, with three exceptions: a
 * claim changes a run's owner or wake time, leases of jobs begin and end outside of any batch (jobs.ts), and deleting a
 * run leaves its id in `deleted_runs`.
 *
 * Ids compare by code unit (COLLATE "C"). Payloads are text and never jsonb, so that they are returned as they were
 * sent. `migrate` creates what `drizzle-kit` cannot express: fill factors (storage.ts) and functions (functions.ts).
 */
import { sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  check,
  customType,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
  unique,
  uniqueIndex,
} from "drizzle-orm/pg-core";

/** An id or an id-like word, compared by code unit whatever the database's locale. */
const id = customType<{ data: string }>({ dataType: () => 'text COLLATE "C"' });
const bytea = customType<{ data: Uint8Array }>({ dataType: () => "bytea" });
const instant = (name: string) => timestamp(name, { withTimezone: true, mode: "string" });
const count = (name: string) => bigint(name, { mode: "number" });

/** Facts about this database that all servers share: `token_key`, 32 random bytes in hex. */
export const settings = pgTable("settings", { key: id("key").primaryKey(), value: text("value").notNull() });

/** Leases of servers. Their ends are observed, not timed: see lanes.ts. */
export const servers = pgTable("servers", {
  serverId: id("server_id").primaryKey(),
  /** The server's process, for people to read. */
  process: text("process").notNull(),
  /** The functions that the server calls (functions.ts). None of them is dropped while its lease is open. */
  functions: text("functions").array().notNull(),
  renewals: count("renewals").notNull().default(0),
  startTime: instant("start_time").notNull().defaultNow(),
  endedAt: instant("ended_at"),
});

/** Functions that this program made in the database, each named by the digest of its text. */
export const functions = pgTable("functions", {
  name: id("name").primaryKey(),
  /** When it was created, or when a sweep last saw a server that names it. */
  namedAt: instant("named_at").notNull().defaultNow(),
});

/** Ordered streams of commit batches. An ended lane takes no more batches. */
export const lanes = pgTable(
  "lanes",
  {
    /** Allocated under an advisory lock, so that ids become visible in order. */
    laneId: count("lane_id").primaryKey().generatedByDefaultAsIdentity(),
    serverId: id("server_id").notNull(),
    nonce: integer("nonce").notNull(),
    /**
     * The last batch that was committed or voided. A batch needs a higher number, so updating this one column both
     * fences a batch and shows afterwards whether it was committed.
     */
    lastBatchNo: count("last_batch_no").notNull().default(0),
    endedAt: instant("ended_at"),
  },
  (table) => [
    index("lanes_open")
      .on(table.serverId)
      .where(sql`ended_at is null`),
  ],
);

/**
 * Batches that were never committed and never will be. They are rare, and kept so that resolving one again returns the
 * same outcome.
 */
export const voidBatches = pgTable(
  "void_batches",
  { laneId: count("lane_id").notNull(), batchNo: count("batch_no").notNull() },
  (table) => [primaryKey({ columns: [table.laneId, table.batchNo] })],
);

/** Versions of workflows; never changed. */
export const workflows = pgTable(
  "workflows",
  {
    tenantId: id("tenant_id").notNull(),
    workflowId: id("workflow_id").notNull(),
    version: integer("version").notNull(),
    digest: id("digest").notNull(),
    /** Proto JSON. */
    definition: text("definition").notNull(),
    createTime: instant("create_time").notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.workflowId, table.version] }),
    unique("workflows_digest").on(table.tenantId, table.workflowId, table.digest),
    check("workflows_version_from_1", sql`version >= 1`),
  ],
);

/** Facts that all versions of a workflow share. The row is the lock under which versions are numbered. */
export const workflowHeads = pgTable(
  "workflow_heads",
  {
    tenantId: id("tenant_id").notNull(),
    workflowId: id("workflow_id").notNull(),
    lastVersion: integer("last_version").notNull(),
    /** Null: the last version is the current one. */
    pinnedVersion: integer("pinned_version"),
    archived: boolean("archived").notNull().default(false),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.workflowId] }),
    check("workflow_heads_pinned_exists", sql`pinned_version between 1 and last_version`),
  ],
);

/**
 * Runs without their payloads. No index holds a column that a step changes, so most updates stay on their page
 * (heap-only tuples; the fill factor leaves room for them).
 */
export const runs = pgTable(
  "runs",
  {
    tenantId: id("tenant_id").notNull(),
    runId: id("run_id").notNull(),
    workflowId: id("workflow_id").notNull(),
    version: integer("version").notNull(),
    status: id("status").notNull(),
    paused: boolean("paused").notNull(),
    node: id("node").notNull(),
    /** The seq of the last record: what commits compare and swap. */
    seq: count("seq").notNull(),
    headHash: bytea("head_hash").notNull(),
    waitReason: id("wait_reason"),
    /** The lane whose server runs it. */
    ownerLane: count("owner_lane"),
    wakeAt: instant("wake_at"),
    createTime: instant("create_time").notNull(),
    updateTime: instant("update_time").notNull(),
    endTime: instant("end_time"),
    sessionId: id("session_id"),
    actorId: id("actor_id"),
    parentRunId: id("parent_run_id"),
    rootRunId: id("root_run_id").notNull(),
    labels: jsonb("labels").notNull(),
    requestDigest: bytea("request_digest").notNull(),
    format: integer("format").notNull(),
    /** JSON of the rest of the state, except payloads. */
    state: text("state").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.runId] }),
    index("runs_by_time").on(table.tenantId, table.createTime, table.runId),
    index("runs_open")
      .on(table.tenantId, table.createTime, table.runId)
      .where(sql`end_time is null`),
    index("runs_by_workflow").on(table.tenantId, table.workflowId, table.createTime, table.runId),
    index("runs_by_session")
      .on(table.tenantId, table.sessionId, table.createTime, table.runId)
      .where(sql`session_id is not null`),
    index("runs_by_parent")
      .on(table.tenantId, table.parentRunId, table.createTime, table.runId)
      .where(sql`parent_run_id is not null`),
    index("runs_by_root")
      .on(table.tenantId, table.rootRunId, table.createTime, table.runId)
      .where(sql`parent_run_id is not null`),
    index("runs_owned")
      .on(table.ownerLane)
      .where(sql`owner_lane is not null`),
    index("runs_due")
      .on(table.wakeAt)
      .where(sql`wake_at is not null`),
    check("runs_seq_from_1", sql`seq >= 1`),
    check("runs_status_known", sql`status in ('running', 'waiting', 'completed', 'failed', 'cancelled')`),
    check("runs_wait_iff_waiting", sql`(wait_reason is not null) = (status = 'waiting')`),
    check("runs_end_iff_ended", sql`(end_time is not null) = (status in ('completed', 'failed', 'cancelled'))`),
    check("runs_owned_iff_active", sql`owner_lane is null or (status = 'running' and not paused)`),
    check("runs_wake_only_unpaused", sql`wake_at is null or (end_time is null and not paused)`),
  ],
);

/**
 * Ids that are never used again. Idempotency keys and wait ids are derived from the run id, so a second run with the
 * same id would repeat those of the first.
 */
export const deletedRuns = pgTable(
  "deleted_runs",
  {
    tenantId: id("tenant_id").notNull(),
    runId: id("run_id").notNull(),
    deleteTime: instant("delete_time").notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.runId] })],
);

/**
 * Parts of a run's state that may be large, each written only when it changes (store/run-parts.ts). Values are JSON
 * text.
 */
export const runParts = pgTable(
  "run_parts",
  {
    tenantId: id("tenant_id").notNull(),
    runId: id("run_id").notNull(),
    part: id("part").notNull(),
    /**
     * The name of a member; or the ordinal of the call, for an attempt or an outcome. "" for parts that a run has only
     * once.
     */
    name: id("name").notNull(),
    value: text("value").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.runId, table.part, table.name] }),
    check("run_parts_part_known", sql`part in ('vars', 'member', 'calls', 'attempt', 'outcome', 'output')`),
    // A member of vars may have the empty name.
    check("run_parts_named_if_many", sql`name = '' or part in ('member', 'attempt', 'outcome')`),
  ],
);

/** The ledger: docs/ledger-format.md. Inserted once, deleted with its run. */
export const stepRecords = pgTable(
  "step_records",
  {
    tenantId: id("tenant_id").notNull(),
    runId: id("run_id").notNull(),
    seq: count("seq").notNull(),
    /** The exact bytes that were hashed. */
    header: text("header").notNull(),
    hash: bytea("hash").notNull(),
    body: text("body").notNull(),
    bodySalt: bytea("body_salt").notNull(),
    given: text("given"),
    givenSalt: bytea("given_salt"),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.runId, table.seq] }),
    check("step_records_seq_from_1", sql`seq >= 1`),
    check("step_records_hash_is_sha256", sql`length(hash) = 32`),
    check("step_records_given_with_salt", sql`(given is null) = (given_salt is null)`),
  ],
);

/** Parts of records beside `body` and `given`, which nearly every record has. */
export const recordParts = pgTable(
  "record_parts",
  {
    tenantId: id("tenant_id").notNull(),
    runId: id("run_id").notNull(),
    seq: count("seq").notNull(),
    name: id("name").notNull(),
    /** The position among the record's parts, from 0. */
    ordinal: integer("ordinal").notNull(),
    text: text("text").notNull(),
    salt: bytea("salt").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.runId, table.seq, table.name] }),
    check("record_parts_have_no_column", sql`name not in ('body', 'given')`),
  ],
);

/** Waits, open and closed. A closed one provides the first reply to a repeated answer. */
export const waits = pgTable(
  "waits",
  {
    tenantId: id("tenant_id").notNull(),
    waitId: id("wait_id").notNull(),
    runId: id("run_id").notNull(),
    reason: id("reason").notNull(),
    /** The seq of the record that opened it. */
    seq: count("seq").notNull(),
    createTime: instant("create_time").notNull(),
    names: text("names").array(),
    scope: id("scope"),
    scopeId: id("scope_id"),
    key: id("key"),
    assignees: text("assignees").array(),
    /** The wait as JSON, as its record has it. */
    body: text("body").notNull(),
    closeTime: instant("close_time"),
    closedBy: id("closed_by"),
    closedRunSeq: count("closed_run_seq"),
    requestId: text("request_id"),
    answeredBy: id("answered_by"),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.waitId] }),
    index("waits_by_run").on(table.tenantId, table.runId),
    index("waits_open")
      .on(table.tenantId, table.reason, table.createTime, table.waitId)
      .where(sql`close_time is null`),
    index("waits_listening")
      .on(table.tenantId, table.scope, table.scopeId, table.key, table.waitId)
      .where(sql`close_time is null and reason = 'event'`),
    check("waits_reason_known", sql`reason in ('event', 'until', 'user', 'job', 'subworkflow')`),
    check(
      "waits_event_has_channel",
      sql`reason <> 'event' or (names is not null and scope is not null and scope_id is not null)`,
    ),
    check(
      "waits_closed_whole",
      sql`(close_time is null) = (closed_by is null) and (close_time is null) = (closed_run_seq is null)`,
    ),
  ],
);

/**
 * Numbers the events of one (tenant, scope, scope id). The row stays locked until the commit, so numbers are in commit
 * order; they may have gaps.
 */
export const channels = pgTable(
  "channels",
  {
    tenantId: id("tenant_id").notNull(),
    scope: id("scope").notNull(),
    scopeId: id("scope_id").notNull(),
    lastNumber: count("last_number").notNull().default(0),
    /** The listeners of all events up to this number were woken. */
    wokenNumber: count("woken_number").notNull().default(0),
    /** When an event was last emitted. */
    emitTime: instant("emit_time").notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.scope, table.scopeId] }),
    index("channels_behind")
      .on(table.emitTime)
      .where(sql`woken_number < last_number`),
    check("channels_woken_exists", sql`woken_number between 0 and last_number`),
    check("channels_scope_known", sql`scope in ('run', 'session', 'workflow', 'global')`),
  ],
);

export const events = pgTable(
  "events",
  {
    tenantId: id("tenant_id").notNull(),
    scope: id("scope").notNull(),
    scopeId: id("scope_id").notNull(),
    number: count("number").notNull(),
    eventId: id("event_id").notNull(),
    name: id("name").notNull(),
    key: id("key").notNull(),
    payload: text("payload").notNull(),
    emitTime: instant("emit_time").notNull(),
    actorId: id("actor_id"),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.scope, table.scopeId, table.number] }),
    uniqueIndex("events_event_id").on(table.tenantId, table.scope, table.scopeId, table.eventId),
  ],
);

/**
 * Remote work.
 *
 * A queue is (tenant, kind, name). Its jobs are given out by turn, then by position. The turn of a new job is not
 * before that of the queue's first job, and comes after the jobs with its own fairness key. So keys take turns, and no
 * key saves up turns while it has no jobs (start-time fair queueing, https://doi.org/10.1109/90.649569). When a job
 * returns to the queue, 10^15 is subtracted from its turn: it comes first, and does not count when turns of new jobs
 * are computed.
 */
export const jobs = pgTable(
  "jobs",
  {
    tenantId: id("tenant_id").notNull(),
    idempotencyKey: id("idempotency_key").notNull(),
    runId: id("run_id").notNull(),
    seq: count("seq").notNull(),
    nodeId: id("node_id").notNull(),
    kind: id("kind").notNull(),
    name: id("name").notNull(),
    ordinal: integer("ordinal").notNull(),
    callId: text("call_id"),
    payload: text("payload").notNull(),
    state: id("state").notNull(),
    createTime: instant("create_time").notNull().defaultNow(),
    fairnessKey: id("fairness_key").notNull(),
    turn: count("turn").notNull(),
    /** Rises from job to job. */
    position: count("position").notNull().generatedByDefaultAsIdentity(),
    /** True while its run is paused: the job is neither given out nor due. */
    held: boolean("held").notNull(),
    /** Delayed: when it becomes open. Open: when it will have waited for a worker too long. */
    dueAt: instant("due_at"),
    /** Rises with every lease. */
    leaseNo: integer("lease_no").notNull(),
    leaseServer: id("lease_server"),
    workerSession: id("worker_session"),
    leaseTime: instant("lease_time"),
    /** Leases that ended without a result. */
    losses: integer("losses").notNull(),
    attempt: integer("attempt").notNull(),
    timeoutMs: count("timeout_ms").notNull(),
    heartbeatTimeoutMs: count("heartbeat_timeout_ms"),
    queueTimeoutMs: count("queue_timeout_ms"),
    delivery: id("delivery"),
    /** The lease whose result was the last to count, and the SHA-256 of that result. */
    settledLeaseNo: integer("settled_lease_no"),
    settledDigest: bytea("settled_digest"),
    refusedResults: integer("refused_results").notNull().default(0),
    /** JSON of the last refused result: its reason, and its output, truncated. */
    refusedResult: text("refused_result"),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.idempotencyKey] }),
    // Without the tenant. While all rows belong to one tenant and are few, the planner considers any index that begins
    // with the tenant as good as the primary key, and keeps such a plan.
    index("jobs_by_run").on(table.runId),
    index("jobs_queue")
      .on(table.tenantId, table.kind, table.name, table.turn, table.position)
      .where(sql`state = 'open' and not held`),
    index("jobs_turns")
      .on(table.tenantId, table.kind, table.name, table.fairnessKey, table.turn)
      .where(sql`state = 'open' and not held`),
    index("jobs_due")
      .on(table.dueAt)
      .where(sql`due_at is not null and not held and state in ('open', 'delayed')`),
    index("jobs_leased")
      .on(table.leaseServer, table.tenantId, table.workerSession)
      .where(sql`lease_server is not null`),
    check("jobs_state_known", sql`state in ('open', 'delayed', 'leased', 'running', 'settled', 'cancelled')`),
    check(
      "jobs_leased_whole",
      sql`num_nonnulls(lease_server, worker_session, lease_time) = case when state in ('leased', 'running') then 3 else 0 end`,
    ),
    check("jobs_delayed_due", sql`state <> 'delayed' or due_at is not null`),
    check("jobs_delivery_known", sql`delivery in ('at_least_once', 'at_most_once')`),
  ],
);

/** Workers that are connected; deleted with the lease of their server. */
export const workers = pgTable(
  "workers",
  {
    tenantId: id("tenant_id").notNull(),
    workerSessionId: id("worker_session_id").notNull(),
    serverId: id("server_id").notNull(),
    actorId: id("actor_id"),
    name: text("name").notNull(),
    /** Names of its tools, for finding workers by tool. */
    tools: text("tools").array().notNull(),
    /** JSON of tools, workflows and custom types. */
    registration: text("registration").notNull(),
    connectTime: instant("connect_time").notNull().defaultNow(),
    draining: boolean("draining").notNull().default(false),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.workerSessionId] }),
    index("workers_by_server").on(table.serverId),
  ],
);

/** Messages for a run that do not touch its row. The transition that acts on one deletes it. */
export const mail = pgTable(
  "mail",
  {
    tenantId: id("tenant_id").notNull(),
    runId: id("run_id").notNull(),
    mailId: count("mail_id").notNull().generatedByDefaultAsIdentity(),
    /** The set of kinds is open; core defines them. */
    kind: id("kind").notNull(),
    /** JSON. */
    body: text("body").notNull(),
    createTime: instant("create_time").notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.runId, table.mailId] }),
    index("mail_by_time").on(table.createTime),
    check("mail_kind_length", sql`char_length(kind) between 1 and 64`),
  ],
);

/** Notices about all runs of a tenant, by their position in their lane. */
export const feed = pgTable(
  "feed",
  {
    tenantId: id("tenant_id").notNull(),
    laneId: count("lane_id").notNull(),
    batchNo: count("batch_no").notNull(),
    ordinal: integer("ordinal").notNull(),
    runId: id("run_id").notNull(),
    kind: id("kind").notNull(),
    seq: count("seq").notNull(),
    time: instant("time").notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.laneId, table.batchNo, table.ordinal] })],
);

/**
 * What a batch committed to a tenant's ledgers, for the log of record hashes: one row for each batch with records.
 * Record hashes are in the order of the batch, so that each comes after its `prev`. The log of a lane continues in the
 * order of batch numbers.
 */
export const batches = pgTable(
  "batches",
  {
    tenantId: id("tenant_id").notNull(),
    laneId: count("lane_id").notNull(),
    batchNo: count("batch_no").notNull(),
    /**
     * A line for each run: its id, the seq of its first record, and the number of records, separated by spaces. Ids are
     * never erased; the records themselves may be gone when this is read.
     */
    runs: text("runs").notNull(),
    /** The records' hashes, 32 bytes each, in the order of `runs`. */
    hashes: bytea("hashes").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.laneId, table.batchNo] }),
    check("batches_hashes_whole", sql`length(hashes) > 0 and length(hashes) % 32 = 0`),
  ],
);
