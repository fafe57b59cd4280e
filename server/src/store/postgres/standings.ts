/** How a run stands, read in one statement so that everything is of one moment. */
import type { Instant } from "../../core/duration.ts";
import { parseInstant } from "../../core/duration.ts";
import type { JobState } from "../contract/jobs.ts";
import type { RunKey } from "../contract/runs.ts";
import {
  type JobStanding,
  type OwnerStanding,
  type RunStanding,
  STANDING_JOBS_MAX,
  STANDING_MAIL_MAX,
  STANDING_PLACES_MAX,
  type StandingStore,
} from "../contract/standings.ts";
import type { Statements } from "../map-verbs.ts";
import type { Fragment, Sql } from "./client.ts";
import { isDataError } from "./errors.ts";
import { headFromRow, type RunRow } from "./run-row.ts";
import { headColumns } from "./runs.ts";

/** A job as JSON from Postgres; times are text in ISO style. */
type JobRow = {
  idempotency_key: string;
  kind: JobStanding["kind"];
  name: string;
  node_id: string;
  state: JobState;
  lease_no: number;
  worker_session: string | null;
  lease_server: string | null;
  lease_time: string | null;
  losses: number;
  attempt: number;
  held: boolean;
  due_at: string | null;
  queue_place: number | null;
  is_worker_listed: boolean | null;
};

type StandingRow = RunRow & {
  now: Instant;
  wake_at: Instant | null;
  owner: { server_id: string; process: string; ended: boolean } | null;
  mail: { kind: string; create_time: string }[] | null;
  mail_total: number;
  job_counts: { state: JobState; count: number }[] | null;
  open_jobs: JobRow[] | null;
  channel: { last_number: number; woken_number: number } | null;
};

/** Whether the job `j` belongs to the run `r`. The condition fits the index of runs: see `jobs_by_run`. */
function isOfRun(sql: Sql): Fragment {
  return sql`j.run_id = r.run_id and j.tenant_id = r.tenant_id`;
}

/** Orders jobs by relevance; open ones are in the order of their queues. */
function jobOrder(sql: Sql): Fragment {
  return sql`array_position(array['running', 'leased', 'open', 'delayed'], j.state), j.turn, j.position`;
}

/**
 * How many jobs of its queue come before the job `j`, counted up to a bound. They are read in order, so that the scan
 * starts at the beginning of the queue's own index.
 */
function jobsBefore(sql: Sql): Fragment {
  return sql`(
    select count(*)::int from (
      select from jobs q
      where q.tenant_id = j.tenant_id and q.kind = j.kind and q.name = j.name and q.state = 'open' and not q.held
        and (q.turn, q.position) < (j.turn, j.position)
      order by q.turn, q.position limit ${STANDING_PLACES_MAX}
    ) as before
  )`;
}

/** Whether the worker that has the job `j` is listed by a server whose lease is open. */
function isWorkerListed(sql: Sql): Fragment {
  return sql`exists (
    select from workers w join servers s on s.server_id = w.server_id and s.ended_at is null
    where w.tenant_id = j.tenant_id and w.worker_session_id = j.worker_session
  )`;
}

async function readStanding(sql: Sql, key: RunKey): Promise<RunStanding | undefined> {
  try {
    return await readWith(sql, key, { isWhole: true });
  } catch (error) {
    if (!isDataError(error)) throw error;
    // The channel is the only thing that the statement takes from JSON text, which is damaged.
    return await readWith(sql, key, { isWhole: false });
  }
}

async function readWith(
  sql: Sql,
  { tenantId, runId }: RunKey,
  { isWhole }: { isWhole: boolean },
): Promise<RunStanding | undefined> {
  const [row] = await sql<StandingRow[]>`
    select
      ${headColumns(sql)}, clock_timestamp() as now, r.wake_at,
      (
        select json_build_object('server_id', s.server_id, 'process', s.process, 'ended', l.ended_at is not null)
        from lanes l join servers s on s.server_id = l.server_id where l.lane_id = r.owner_lane
      ) as owner,
      (
        select json_agg(json_build_object('kind', m.kind, 'create_time', m.create_time) order by m.mail_id)
        from (
          select mail_id, kind, create_time from mail m where m.tenant_id = r.tenant_id and m.run_id = r.run_id
          order by mail_id limit ${STANDING_MAIL_MAX}
        ) as m
      ) as mail,
      (select count(*)::int from mail m where m.tenant_id = r.tenant_id and m.run_id = r.run_id) as mail_total,
      (
        select json_agg(c) from (
          select j.state, count(*)::int as count from jobs j where ${isOfRun(sql)} group by j.state
        ) as c
      ) as job_counts,
      (
        select json_agg(
          json_build_object(
            'idempotency_key', j.idempotency_key, 'kind', j.kind, 'name', j.name, 'node_id', j.node_id,
            'state', j.state, 'lease_no', j.lease_no, 'worker_session', j.worker_session,
            'lease_server', j.lease_server, 'lease_time', j.lease_time, 'losses', j.losses, 'attempt', j.attempt,
            'held', j.held, 'due_at', j.due_at,
            'queue_place', case when j.state = 'open' and not j.held then 1 + ${jobsBefore(sql)} end,
            'is_worker_listed', case when j.worker_session is not null then ${isWorkerListed(sql)} end
          ) order by ${jobOrder(sql)}
        )
        from (
          select * from jobs j where ${isOfRun(sql)} and j.state not in ('settled', 'cancelled')
          order by ${jobOrder(sql)} limit ${STANDING_JOBS_MAX}
        ) as j
      ) as open_jobs,
      (
        select json_build_object(
          'last_number', coalesce(c.last_number, 0), 'woken_number', coalesce(c.woken_number, 0)
        )
        from (select r.state::json #> '{inFlight,wait}' as body where r.wait_reason = 'event' and ${isWhole}) as w
        left join channels c
          on c.tenant_id = r.tenant_id and c.scope = w.body ->> 'scope' and c.scope_id = w.body ->> 'scope_id'
      ) as channel
    from runs r where r.tenant_id = ${tenantId} and r.run_id = ${runId}`;
  return row === undefined ? undefined : standingFromRow(row);
}

function standingFromRow(row: StandingRow): RunStanding {
  const owner = ownerFromRow(row);
  return {
    now: row.now,
    run: headFromRow(row),
    ...(owner === undefined ? {} : { owner }),
    ...(row.wake_at === null ? {} : { wakeTime: row.wake_at }),
    mail: {
      first: (row.mail ?? []).map(({ kind, create_time }) => ({ kind, createTime: parseInstant(create_time) })),
      total: row.mail_total,
    },
    jobCounts: row.job_counts ?? [],
    openJobs: (row.open_jobs ?? []).map(jobFromRow),
    ...(row.channel === null
      ? {}
      : { channel: { lastNumber: row.channel.last_number, wokenNumber: row.channel.woken_number } }),
  };
}

function ownerFromRow({ owner_lane: laneId, owner }: StandingRow): OwnerStanding | undefined {
  if (laneId === null) return undefined;
  if (owner === null) return { laneId, ended: true };
  return { laneId, ended: owner.ended, server: { serverId: owner.server_id, process: owner.process } };
}

function jobFromRow(row: JobRow): JobStanding {
  return {
    idempotencyKey: row.idempotency_key,
    kind: row.kind,
    name: row.name,
    nodeId: row.node_id,
    state: row.state,
    leaseNo: row.lease_no,
    ...(row.worker_session === null ? {} : { workerSessionId: row.worker_session }),
    ...(row.lease_server === null ? {} : { leaseServerId: row.lease_server }),
    ...(row.lease_time === null ? {} : { leaseTime: parseInstant(row.lease_time) }),
    losses: row.losses,
    attempt: row.attempt,
    held: row.held,
    ...(row.due_at === null ? {} : { dueTime: parseInstant(row.due_at) }),
    ...(row.queue_place === null ? {} : { queuePlace: row.queue_place }),
    ...(row.is_worker_listed === null ? {} : { isWorkerListed: row.is_worker_listed }),
  };
}

export const standings: Statements<Sql, StandingStore> = { read: readStanding };
