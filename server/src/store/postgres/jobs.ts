/**
 * Jobs: queues, leases, and due jobs. Transitions create, settle and cancel them (commit.ts).
 *
 * A statement here never waits for a locked job while it has other jobs locked itself, so it cannot be part of a
 * deadlock. Claims and the search for due jobs skip locked jobs; the other verbs try again until they have an answer.
 */
import { setTimeout as pause } from "node:timers/promises";
import { DamageError, decodeStored } from "../../core/damage.ts";
import { parseOwnJson } from "../../core/json/json.ts";
import type { Instant } from "../../core/duration.ts";
import { StoreUnavailableError } from "../contract/errors.ts";
import type {
  JobStore,
  JobHead,
  JobKey,
  JobLease,
  JobQueue,
  JobRequest,
  LeasedJob,
  OrphanedLeases,
} from "../contract/jobs.ts";
import { encodeRefusedResult } from "../refused-result.ts";
import { RUN_FORMAT } from "../run-format.ts";
import { type Fragment, lockTimeout, rowsParameter, type Sql } from "./client.ts";
import { CHANGE_LEASES, CLAIM_JOBS } from "./job-functions.ts";
import type { Statements } from "../map-verbs.ts";

type HeadRow = {
  tenant_id: string;
  idempotency_key: string;
  run_id: string;
  kind: JobHead["kind"];
  name: string;
  state: JobHead["state"];
  lease_no: number;
  worker_session: string | null;
  lease_server: string | null;
  lease_time: Instant | null;
  losses: number;
  attempt: number;
  ordinal: number;
  settled_lease_no: number | null;
  settled_digest: Buffer | null;
  timeout_ms: number;
  heartbeat_timeout_ms: number | null;
  delivery: NonNullable<JobHead["delivery"]> | null;
};

/** The columns of a job `j` that `headFromRow` reads. */
function headColumns(sql: Sql): Fragment {
  return sql`
    j.tenant_id, j.idempotency_key, j.run_id, j.kind, j.name, j.state, j.lease_no, j.worker_session, j.lease_server,
    j.lease_time, j.losses, j.attempt, j.ordinal, j.settled_lease_no, j.settled_digest, j.timeout_ms,
    j.heartbeat_timeout_ms, j.delivery`;
}

function headFromRow(row: HeadRow): JobHead {
  return {
    tenantId: row.tenant_id,
    idempotencyKey: row.idempotency_key,
    runId: row.run_id,
    kind: row.kind,
    name: row.name,
    state: row.state,
    leaseNo: row.lease_no,
    ...(row.worker_session === null ? {} : { workerSessionId: row.worker_session }),
    ...(row.lease_server === null ? {} : { leaseServerId: row.lease_server }),
    ...(row.lease_time === null ? {} : { leaseTime: row.lease_time }),
    losses: row.losses,
    attempt: row.attempt,
    ordinal: row.ordinal,
    ...(row.settled_lease_no === null ? {} : { settledLeaseNo: row.settled_lease_no }),
    ...(row.settled_digest === null ? {} : { settledDigest: row.settled_digest.toString("hex") }),
    timeoutMs: row.timeout_ms,
    ...(row.heartbeat_timeout_ms === null ? {} : { heartbeatTimeoutMs: row.heartbeat_timeout_ms }),
    ...(row.delivery === null ? {} : { delivery: row.delivery }),
  };
}

// Claims.

type ClaimedRow = HeadRow & {
  request: number;
  place: number;
  worker_session: string;
  seq: number;
  node_id: string;
  call_id: string | null;
  payload: string;
  workflow_id: string;
  version: number;
  session_id: string | null;
};

/** Leases open jobs in fair order. If the reply is lost, `jobs.adopt` finds what the sessions were leased. */
export async function claimJobs(sql: Sql, serverId: string, requests: readonly JobRequest[]): Promise<LeasedJob[]> {
  const claimed: ClaimedRow[] = [];
  for (const round of roundsOf(requests)) claimed.push(...(await claimRound(sql, serverId, round)));
  return claimed.toSorted((a, b) => a.request - b.request || a.place - b.place).map(leasedJobFromRow);
}

type NumberedRequest = { number: number; request: JobRequest };

/**
 * Splits requests into rounds with at most one request per queue: a statement would lease the same job to two of them.
 */
function roundsOf(requests: readonly JobRequest[]): NumberedRequest[][] {
  const rounds: NumberedRequest[][] = [];
  const counts = new Map<string, number>();
  for (const [number, request] of requests.entries()) {
    const queue = JSON.stringify([request.tenantId, request.kind, request.name]);
    const round = counts.get(queue) ?? 0;
    counts.set(queue, round + 1);
    (rounds[round] ??= []).push({ number, request });
  }
  return rounds;
}

async function claimRound(sql: Sql, serverId: string, round: readonly NumberedRequest[]): Promise<ClaimedRow[]> {
  const rows = round.map(({ number, request }) => ({
    request: number,
    tenant_id: request.tenantId,
    kind: request.kind,
    name: request.name,
    versions: request.versions,
    worker_sessions: request.workerSessionIds,
  }));
  return await sql<ClaimedRow[]>`
    select
      c.request, c.place, ${headColumns(sql)}, j.seq, j.node_id, j.call_id, j.payload, c.workflow_id, c.version,
      c.session_id
    from ${sql(CLAIM_JOBS.name)}(${serverId}, ${rowsParameter(rows)}::text::json, ${RUN_FORMAT}) as c
    cross join lateral (select (c.job).*) as j`;
}

function leasedJobFromRow(row: ClaimedRow): LeasedJob {
  return {
    ...headFromRow(row),
    workerSessionId: row.worker_session,
    seq: row.seq,
    nodeId: row.node_id,
    ...(row.call_id === null ? {} : { callId: row.call_id }),
    ...decodeStored<Pick<LeasedJob, "payload" | "damage">>(
      () => ({ payload: parseOwnJson(row.payload) }),
      (what, cause) => new DamageError("job", { run_id: row.run_id, job_name: row.name }, what, cause),
      (damage) => ({ payload: null, damage }),
    ),
    workflowId: row.workflow_id,
    version: row.version,
    ...(row.session_id === null ? {} : { sessionId: row.session_id }),
  };
}

// Leases.

/** The pause before jobs locked by others are tried again: the other transaction takes one statement, or one batch. */
const BUSY_PAUSE_MS = 5;
/** Together about as long as lock_timeout. */
const BUSY_ATTEMPTS_MAX = 200;

type LeaseChange = "release" | "start" | "adopt";
type LeaseOutcome = "done" | "gone" | "running" | "exhausted";
type LeaseRow = JobLease & { isLoss?: boolean };

/**
 * Changes leases, and returns the outcome of each in their order. Tries jobs that others have locked again.
 * @throws StoreUnavailableError if a job stays locked; the other leases may have changed
 */
async function changeLeases(
  sql: Sql,
  change: LeaseChange,
  leases: readonly LeaseRow[],
  facts: { lossesMax?: number; serverId?: string } = {},
): Promise<LeaseOutcome[]> {
  const outcomes: LeaseOutcome[] = [];
  let open = leases.map((lease, place) => ({ ...lease, place }));
  for (let attempts = 0; open.length > 0; attempts++) {
    if (attempts === BUSY_ATTEMPTS_MAX) {
      throw new StoreUnavailableError("a job stayed locked by another transaction", { kind: "contended" });
    }
    if (attempts > 0) await pause(BUSY_PAUSE_MS);
    const rows = open.map(({ place, tenantId, idempotencyKey, leaseNo, isLoss }) => ({
      place,
      tenant_id: tenantId,
      idempotency_key: idempotencyKey,
      lease_no: leaseNo,
      is_loss: isLoss,
    }));
    const { lossesMax, serverId } = facts;
    const answers = await sql<{ place: number; outcome: LeaseOutcome | "busy" }[]>`
      select place, outcome from ${sql(CHANGE_LEASES.name)}(
        ${change}, ${rowsParameter(rows)}::text::json, ${lossesMax ?? null}::int, ${serverId ?? null}::text
      )`;
    const busy = new Set<number>();
    for (const { place, outcome } of answers) {
      if (outcome === "busy") busy.add(place);
      else outcomes[place] = outcome;
    }
    open = open.filter(({ place }) => busy.has(place));
  }
  return outcomes;
}

export async function releaseJobs(
  sql: Sql,
  leases: readonly (JobLease & { isLoss: boolean })[],
  lossesMax: number,
  serverId?: string,
): Promise<("open" | "exhausted" | "running" | "gone")[]> {
  const facts = { lossesMax, ...(serverId === undefined ? {} : { serverId }) };
  const outcomes = await changeLeases(sql, "release", leases, facts);
  return outcomes.map((outcome) => (outcome === "done" ? "open" : outcome));
}

export async function startJobs(sql: Sql, leases: readonly JobLease[]): Promise<boolean[]> {
  const outcomes = await changeLeases(sql, "start", leases);
  return outcomes.map((outcome) => outcome === "done");
}

export async function adoptJobs(
  sql: Sql,
  request: { tenantId: string; workerSessionId: string; serverId: string; fromServerId?: string; limit: number },
): Promise<JobHead[]> {
  const { workerSessionId, serverId } = request;
  const leases = await listLeases(sql, request);
  const outcomes = await changeLeases(sql, "adopt", leases, { serverId });
  const heads = await loadJobs(
    sql,
    leases.filter((_, place) => outcomes[place] === "done"),
  );
  return heads.filter((head) => head !== undefined).filter((head) => head.workerSessionId === workerSessionId);
}

/** Lists the leases of a worker session, oldest jobs first. */
async function listLeases(
  sql: Sql,
  request: { tenantId: string; workerSessionId: string; fromServerId?: string; limit: number },
): Promise<JobLease[]> {
  const { tenantId, workerSessionId, fromServerId, limit } = request;
  const holders = fromServerId === undefined ? leaseHolders(sql) : sql`select ${fromServerId}::text as server_id`;
  const rows = await sql<{ idempotency_key: string; lease_no: number }[]>`
    select j.idempotency_key, j.lease_no from (${holders}) as h cross join lateral (
      select idempotency_key, lease_no, position from jobs
      where lease_server = h.server_id and tenant_id = ${tenantId} and worker_session = ${workerSessionId}
      order by position limit ${limit}
    ) as j
    order by j.position limit ${limit}`;
  return rows.map((row) => ({ tenantId, idempotencyKey: row.idempotency_key, leaseNo: row.lease_no }));
}

/**
 * Servers that have leases of jobs. There are few servers and maybe many leases, so this skips from server to server in
 * the index of leases instead of reading all of it.
 */
function leaseHolders(sql: Sql): Fragment {
  return sql`
    with recursive holders (server_id) as (
      (select lease_server from jobs where lease_server is not null order by lease_server limit 1)
      union all
      select (select j.lease_server from jobs j where j.lease_server > h.server_id order by j.lease_server limit 1)
      from holders h where h.server_id is not null
    )
    select server_id from holders`;
}

/** Servers that have leases of jobs although their own lease has ended. */
export function orphanHolders(sql: Sql): Fragment {
  return sql`
    select s.server_id from servers s join (${leaseHolders(sql)}) as h on h.server_id = s.server_id
    where s.ended_at is not null`;
}

export async function listOrphanedLeases(sql: Sql, limit: number): Promise<OrphanedLeases[]> {
  const rows = await sql<{ tenant_id: string; worker_session: string; lease_server: string; gone_ms: number | null }[]>`
    select orphan.*, (extract(epoch from clock_timestamp() - s.ended_at) * 1000)::float8 as gone_ms
    from (
      select distinct lease_server, tenant_id, worker_session from jobs
      where lease_server in (${orphanHolders(sql)})
      order by lease_server, tenant_id, worker_session limit ${limit}
    ) as orphan left join servers s on s.server_id = orphan.lease_server`;
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    workerSessionId: row.worker_session,
    serverId: row.lease_server,
    goneMs: row.gone_ms ?? Number.MAX_SAFE_INTEGER,
  }));
}

// What is due.

/** Whether a job `j` will become due: delayed, or open for a bounded time. Matches the index of due jobs. */
function isDueSometime(sql: Sql): Fragment {
  return sql`j.due_at is not null and not j.held and j.state in ('open', 'delayed')`;
}

/** When the next job is due. */
export function nextDueTime(sql: Sql): Fragment {
  return sql`select j.due_at from jobs j where ${isDueSometime(sql)} order by j.due_at limit 1`;
}

/** The row that `left join` returns if there is no job. */
type NoRow = { [Column in keyof HeadRow]: null };
type DueRow = { next_job_time: Instant | null } & (
  | (HeadRow & { was_delayed: boolean })
  | (NoRow & { was_delayed: null })
);

/** Opens delayed jobs whose time has come, and moves ahead the due time of jobs that have waited too long. */
export async function claimDueJobs(
  sql: Sql,
  limit: number,
  retryAfterMs: number,
): Promise<{ queues: JobQueue[]; expired: JobHead[]; nextJobTime?: Instant }> {
  const rows = await sql<DueRow[]>`
    with due as materialized (
      select j.ctid as place, j.tenant_id, j.idempotency_key, j.due_at as was_due_at, j.state = 'delayed' as was_delayed
      from jobs j
      where ${isDueSometime(sql)} and j.due_at <= now()
      order by j.due_at limit ${limit} for no key update skip locked
    ), opened as (
      update jobs j set
        state = 'open', turn = case when j.turn < 0 then j.turn else j.turn - 1000000000000000 end,
        due_at = now() + j.queue_timeout_ms * interval '1 millisecond'
      from due d where d.was_delayed and j.ctid = d.place
      returning j.*, d.was_due_at, d.was_delayed
    ), expired as (
      update jobs j set due_at = now() + ${retryAfterMs} * interval '1 millisecond'
      from due d where not d.was_delayed and j.ctid = d.place
      returning j.*, d.was_due_at, d.was_delayed
    ), changed as (
      select * from opened union all select * from expired
    )
    select next.time as next_job_time, j.was_delayed, ${headColumns(sql)}
    from (
      select least(
        (select min(due_at) from changed),
        (
          select j.due_at from jobs j
          where ${isDueSometime(sql)}
            and not exists (select from due d where d.tenant_id = j.tenant_id and d.idempotency_key = j.idempotency_key)
          order by j.due_at limit 1
        )
      ) as time
    ) as next left join changed j on true
    order by j.was_due_at, j.position`;
  const queues = new Map<string, JobQueue>();
  const expired: JobHead[] = [];
  for (const row of rows) {
    if (row.was_delayed === null) continue;
    if (!row.was_delayed) expired.push(headFromRow(row));
    else queues.set(JSON.stringify([row.tenant_id, row.kind, row.name]), queueFromRow(row));
  }
  const next = rows[0]?.next_job_time ?? null;
  return { queues: [...queues.values()], expired, ...(next === null ? {} : { nextJobTime: next }) };
}

function queueFromRow(row: HeadRow): JobQueue {
  return { tenantId: row.tenant_id, kind: row.kind, name: row.name };
}

// Single jobs.

export async function loadJobs(sql: Sql, keys: readonly JobKey[]): Promise<(JobHead | undefined)[]> {
  if (keys.length === 0) return [];
  const numbered = keys.map((key, place) => ({
    place,
    tenant_id: key.tenantId,
    idempotency_key: key.idempotencyKey,
  }));
  const rows = await sql<(HeadRow & { place: number })[]>`
    select k.place, j.*
    from json_to_recordset(${rowsParameter(numbered)}::text::json)
      as k (place int, tenant_id text, idempotency_key text)
    cross join lateral (
      select ${headColumns(sql)} from jobs j
      where j.tenant_id = k.tenant_id and j.idempotency_key = k.idempotency_key
      limit 1
    ) as j`;
  const found = new Map(rows.map((row) => [row.place, row]));
  return keys.map((_, place) => {
    const row = found.get(place);
    return row === undefined ? undefined : headFromRow(row);
  });
}

async function noteRefusedResult(
  sql: Sql,
  { tenantId, idempotencyKey }: JobKey,
  refusal: { reason: string; output: string },
): Promise<void> {
  await sql`
    update jobs set refused_results = refused_results + 1, refused_result = ${encodeRefusedResult(refusal)}
    from ${lockTimeout(sql)}
    where tenant_id = ${tenantId} and idempotency_key = ${idempotencyKey}`;
}

export const jobs: Statements<Sql, JobStore> = {
  claim: claimJobs,
  release: releaseJobs,
  start: startJobs,
  adopt: adoptJobs,
  listOrphanedLeases,
  claimDue: claimDueJobs,
  load: loadJobs,
  noteRefusedResult,
};
