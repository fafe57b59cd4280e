/** Jobs: queues, leases, and due jobs. Transitions create, settle and cancel them (commit.ts). */
import { addMs, type Instant } from "../../core/duration.ts";
import type { Json } from "../../core/json/json.ts";
import type { Transition } from "../contract/batch.ts";
import type {
  JobStore,
  JobHead,
  JobKey,
  JobLease,
  JobQueue,
  JobRequest,
  JobSettlement,
  LeasedJob,
  NewJob,
  OrphanedLeases,
} from "../contract/jobs.ts";
import type { RunKey } from "../contract/runs.ts";
import { RUN_FORMAT } from "../run-format.ts";
import { encodeRefusedResult } from "../refused-result.ts";
import { type JobRow, type MemoryDatabase, readStored, rowKey, type RunRow, timeOf } from "./database.ts";
import type { Statements } from "../map-verbs.ts";
import { defined } from "../../core/defined.ts";

/** Added to the turn of a job that returns to its queue, so that it comes before all others. */
const RETURNED_TURN = -1e15;

export function jobsOf(database: MemoryDatabase, { tenantId, runId }: RunKey): JobRow[] {
  return database.jobs
    .values()
    .filter((row) => row.tenantId === tenantId && row.runId === runId)
    .toArray();
}

function findJob(database: MemoryDatabase, { tenantId, idempotencyKey }: JobKey): JobRow | undefined {
  return database.jobs.get(rowKey(tenantId, idempotencyKey));
}

export function isIn(queue: JobQueue, row: JobRow): boolean {
  return row.tenantId === queue.tenantId && row.kind === queue.kind && row.name === queue.name;
}

function isLeased(row: JobRow): boolean {
  return row.state === "leased" || row.state === "running";
}

function isOver(row: JobRow): boolean {
  return row.state === "settled" || row.state === "cancelled";
}

export function headOf(row: JobRow): JobHead {
  return {
    tenantId: row.tenantId,
    idempotencyKey: row.idempotencyKey,
    runId: row.runId,
    kind: row.kind,
    name: row.name,
    state: row.state,
    leaseNo: row.leaseNo,
    ...(row.lease === undefined
      ? {}
      : {
          workerSessionId: row.lease.workerSessionId,
          leaseServerId: row.lease.serverId,
          leaseTime: row.lease.time,
        }),
    losses: row.losses,
    attempt: row.attempt,
    ordinal: row.ordinal,
    ...defined({ settledLeaseNo: row.settledLeaseNo, settledDigest: row.settledDigest }),
    timeoutMs: row.timeoutMs,
    ...defined({ heartbeatTimeoutMs: row.heartbeatTimeoutMs, delivery: row.delivery }),
  };
}

// The order of a queue.

/** Turns of the jobs of a queue that can be given out, without jobs that returned. */
function openTurns(database: MemoryDatabase, queue: JobQueue, fairnessKey?: string): number[] {
  return database.jobs
    .values()
    .filter((row) => row.state === "open" && !row.held && row.turn >= 0 && isIn(queue, row))
    .filter((row) => fairnessKey === undefined || row.fairnessKey === fairnessKey)
    .map((row) => row.turn)
    .toArray();
}

/** The current turn of a queue: the turn of its first job. */
function queueTurn(database: MemoryDatabase, queue: JobQueue): number | undefined {
  const turns = openTurns(database, queue);
  return turns.length === 0 ? undefined : Math.min(...turns);
}

/** The turn of a new job: not before the queue's current turn, and after the jobs with its own fairness key. */
function newTurn(database: MemoryDatabase, queue: JobQueue, fairnessKey: string): number {
  return Math.max(queueTurn(database, queue) ?? 0, ...openTurns(database, queue, fairnessKey).map((turn) => turn + 1));
}

export function compareTurns(a: JobRow, b: JobRow): number {
  return a.turn - b.turn || a.position - b.position;
}

/** Puts a job that was in its queue before, or that failed an attempt, at the head of the queue. */
function returnToQueue(row: JobRow, now: Instant): void {
  row.state = "open";
  row.lease = undefined;
  if (row.turn >= 0) row.turn += RETURNED_TURN;
  row.dueTime = openUntil(row, now);
}

// Changes by transitions.

/** Whether every job that a transition settles can be settled. */
export function canSettle(database: MemoryDatabase, { tenantId, runId, settledJobs }: Transition): boolean {
  return settledJobs.every(({ idempotencyKey, leaseNo, onlyOpen }) => {
    const row = findJob(database, { tenantId, idempotencyKey });
    if (row === undefined || row.runId !== runId || isOver(row) || row.leaseNo !== leaseNo) return false;
    return onlyOpen === true ? row.state === "open" : row.settledLeaseNo !== leaseNo;
  });
}

export function cancelJobs(database: MemoryDatabase, key: RunKey): void {
  for (const row of jobsOf(database, key)) if (!isOver(row)) endJob(row, "cancelled");
}

/**
 * Holds back or lets out the jobs of a batch's runs. Everything is computed before any job changes, so that every job
 * sees the queues as they were before the batch.
 */
export function holdJobs(database: MemoryDatabase, transitions: readonly Transition[]): void {
  const now = timeOf(database);
  const changing = transitions.flatMap((transition) => {
    const rows = jobsOf(database, transition).filter((row) => !isOver(row) && row.held !== transition.holdJobs);
    return transition.holdJobs === undefined ? [] : rows.map((row) => ({ row, held: transition.holdJobs === true }));
  });
  const back = changing.flatMap(({ row, held }) => (row.state === "open" && !held ? [row] : []));
  const turns = turnsAgain(
    database,
    back.filter((row) => row.turn >= 0),
  );
  for (const row of back) {
    row.turn = turns.get(row) ?? row.turn;
    row.dueTime = openUntil(row, now);
  }
  for (const { row, held } of changing) row.held = held;
}

/**
 * New turns for jobs that were held back. Jobs with the same key keep their distances, but start no earlier than the
 * queue's current turn, and come no later than new jobs would.
 */
function turnsAgain(database: MemoryDatabase, rows: readonly JobRow[]): Map<JobRow, number> {
  const turns = new Map<JobRow, number>();
  for (const ofKey of Map.groupBy(rows.toSorted(compareTurns), fairnessOf).values()) {
    const [first] = ofKey;
    const shift = Math.max((queueTurn(database, first!) ?? 0) - first!.turn, 0);
    const asNew = newTurn(database, first!, first!.fairnessKey);
    for (const [i, row] of ofKey.entries()) turns.set(row, Math.min(row.turn + shift, asNew + i));
  }
  return turns;
}

/** Identifies a queue and a fairness key in it. */
function fairnessOf({ tenantId, kind, name, fairnessKey }: JobRow): string {
  return JSON.stringify([tenantId, kind, name, fairnessKey]);
}

/** The time until which a job that becomes open now waits for a worker. */
function openUntil({ queueTimeoutMs }: { queueTimeoutMs?: number | undefined }, now: Instant): Instant | undefined {
  return queueTimeoutMs === undefined ? undefined : addMs(now, queueTimeoutMs);
}

export function settleJob(database: MemoryDatabase, tenantId: string, settlement: JobSettlement): void {
  const { idempotencyKey, leaseNo, digest, retry } = settlement;
  const row = findJob(database, { tenantId, idempotencyKey })!;
  endJob(row, retry === undefined ? "settled" : "delayed");
  row.settledLeaseNo = leaseNo;
  row.settledDigest = digest;
  if (retry === undefined) return;
  row.attempt = retry.attempt;
  row.dueTime = retry.dueTime;
}

function endJob(row: JobRow, state: JobRow["state"]): void {
  row.state = state;
  row.lease = undefined;
  row.dueTime = undefined;
}

/** Creates the jobs of a batch. All turns are computed from the queues as they were before it. */
export function createJobs(database: MemoryDatabase, transitions: readonly Transition[]): void {
  const now = timeOf(database);
  const rows: JobRow[] = [];
  const taken = new Map<string, number>();
  for (const transition of transitions) {
    for (const job of transition.jobs) {
      const row = newRow(database, transition, job, now);
      const key = fairnessOf(row);
      const place = taken.get(key) ?? 0;
      taken.set(key, place + 1);
      row.turn += place;
      rows.push(row);
    }
  }
  for (const row of rows) database.jobs.set(rowKey(row.tenantId, row.idempotencyKey), row);
}

function newRow(database: MemoryDatabase, transition: Transition, job: NewJob, now: Instant): JobRow {
  const { tenantId, runId, after } = transition;
  const { kind, name, queueTimeoutMs, dueTime, lease } = job;
  const state = lease !== undefined ? "leased" : dueTime !== undefined ? "delayed" : "open";
  database.lastJobPosition += 1;
  return {
    tenantId,
    runId,
    idempotencyKey: job.idempotency_key,
    kind,
    name,
    ordinal: job.ordinal,
    seq: job.seq,
    nodeId: job.nodeId,
    callId: job.call_id,
    payloadText: JSON.stringify(job.payload),
    fairnessKey: job.fairnessKey,
    // A job that a worker has already gets a turn only when it comes back, and is then among the first.
    turn: state === "leased" ? 0 : newTurn(database, { tenantId, kind, name }, job.fairnessKey),
    position: database.lastJobPosition,
    state,
    held: after.state.paused,
    dueTime: state === "open" ? openUntil(job, now) : state === "delayed" ? dueTime : undefined,
    leaseNo: lease === undefined ? 0 : 1,
    lease: lease === undefined ? undefined : { ...lease, time: now },
    losses: job.losses ?? 0,
    attempt: job.attempt ?? 1,
    timeoutMs: job.timeoutMs,
    heartbeatTimeoutMs: job.heartbeatTimeoutMs,
    queueTimeoutMs,
    delivery: job.delivery,
    settledLeaseNo: undefined,
    settledDigest: undefined,
    refusedResults: 0,
    refusedResult: undefined,
  };
}

// Changes by servers.

function claimJobs(database: MemoryDatabase, serverId: string, requests: readonly JobRequest[]): LeasedJob[] {
  return requests.flatMap((request) => {
    const { workerSessionIds, versions } = request;
    const claimable = database.jobs.values().flatMap((row) => {
      if (row.state !== "open" || row.held || !isIn(request, row)) return [];
      const run = database.runs.get(rowKey(row.tenantId, row.runId));
      if (run?.head.status !== "running" || run.head.paused || run.format > RUN_FORMAT) return [];
      return versions === undefined || versions.includes(run.head.version) ? [{ row, run }] : [];
    });
    const inTurn = [...claimable].toSorted((a, b) => compareTurns(a.row, b.row));
    return workerSessionIds.flatMap((workerSessionId, i) => {
      const job = inTurn[i];
      if (job === undefined) return [];
      job.row.state = "leased";
      job.row.leaseNo += 1;
      job.row.lease = { serverId, workerSessionId, time: timeOf(database) };
      job.row.dueTime = undefined;
      return [leasedJobOf(job.row, job.run, workerSessionId)];
    });
  });
}

function leasedJobOf(row: JobRow, run: RunRow, workerSessionId: string): LeasedJob {
  const { workflowId, version, sessionId } = run.head;
  return {
    ...headOf(row),
    workerSessionId,
    seq: row.seq,
    nodeId: row.nodeId,
    ...(row.callId === undefined ? {} : { callId: row.callId }),
    payload: readStored(row.payloadText) as Json,
    workflowId,
    version,
    ...(sessionId === undefined ? {} : { sessionId }),
  };
}

function releaseJobs(
  database: MemoryDatabase,
  leases: readonly (JobLease & { isLoss: boolean })[],
  lossesMax: number,
  serverId?: string,
): ("open" | "exhausted" | "running" | "gone")[] {
  const now = timeOf(database);
  return leases.map((lease) => {
    const row = findJob(database, lease);
    if (row === undefined || !isLeased(row) || row.leaseNo !== lease.leaseNo) return "gone";
    if (serverId !== undefined && row.lease?.serverId !== serverId) return "gone";
    if (row.state === "running") return "running";
    if (lease.isLoss && row.losses >= lossesMax) return "exhausted";
    if (lease.isLoss) row.losses += 1;
    returnToQueue(row, now);
    return "open";
  });
}

function startJobs(database: MemoryDatabase, leases: readonly JobLease[]): boolean[] {
  return leases.map((lease) => {
    const row = findJob(database, lease);
    if (row === undefined || !isLeased(row) || row.leaseNo !== lease.leaseNo) return false;
    row.state = "running";
    return true;
  });
}

function adoptJobs(
  database: MemoryDatabase,
  request: { tenantId: string; workerSessionId: string; serverId: string; fromServerId?: string; limit: number },
): JobHead[] {
  const { tenantId, workerSessionId, serverId, fromServerId, limit } = request;
  return database.jobs
    .values()
    .filter((row) => row.tenantId === tenantId && row.lease?.workerSessionId === workerSessionId)
    .filter((row) => fromServerId === undefined || row.lease?.serverId === fromServerId)
    .toArray()
    .toSorted((a, b) => a.position - b.position)
    .slice(0, limit)
    .map((row) => {
      row.lease = { ...row.lease!, serverId };
      return headOf(row);
    });
}

function isOrphaned(database: MemoryDatabase, row: JobRow): boolean {
  return row.lease !== undefined && database.servers.get(row.lease.serverId)?.ended === true;
}

export function hasOrphanedLeases(database: MemoryDatabase): boolean {
  return database.jobs.values().some((row) => isOrphaned(database, row));
}

function listOrphanedLeases(database: MemoryDatabase, limit: number): OrphanedLeases[] {
  const found = new Map<string, OrphanedLeases>();
  for (const { tenantId, lease } of database.jobs.values().filter((row) => isOrphaned(database, row))) {
    const { serverId, workerSessionId } = lease!;
    const endedMicros = database.servers.get(serverId)?.endedMicros ?? 0;
    const goneMs = (database.nowMicros() - endedMicros) / 1_000;
    found.set(JSON.stringify([serverId, tenantId, workerSessionId]), { tenantId, workerSessionId, serverId, goneMs });
  }
  return [...found.values()].slice(0, limit);
}

/** The earliest due time among jobs that are not held back. */
export function nextJobTime(database: MemoryDatabase): Instant | undefined {
  let earliest: Instant | undefined;
  for (const { dueTime, held } of database.jobs.values()) {
    if (dueTime !== undefined && !held && (earliest === undefined || dueTime < earliest)) earliest = dueTime;
  }
  return earliest;
}

function claimDueJobs(
  database: MemoryDatabase,
  limit: number,
  retryAfterMs: number,
): { queues: JobQueue[]; expired: JobHead[]; nextJobTime?: Instant } {
  const now = timeOf(database);
  const due = database.jobs
    .values()
    .flatMap((row) =>
      row.dueTime !== undefined && !row.held && row.dueTime <= now ? [{ row, time: row.dueTime }] : [],
    )
    .toArray()
    .toSorted((a, b) => (a.time === b.time ? a.row.position - b.row.position : a.time < b.time ? -1 : 1))
    .slice(0, limit);
  const queues = new Map<string, JobQueue>();
  const expired: JobHead[] = [];
  for (const { row } of due) {
    if (row.state === "open") {
      row.dueTime = addMs(now, retryAfterMs);
      expired.push(headOf(row));
    } else {
      returnToQueue(row, now);
      const { tenantId, kind, name } = row;
      queues.set(JSON.stringify([tenantId, kind, name]), { tenantId, kind, name });
    }
  }
  const next = nextJobTime(database);
  return { queues: [...queues.values()], expired, ...(next === undefined ? {} : { nextJobTime: next }) };
}

function loadJobs(database: MemoryDatabase, keys: readonly JobKey[]): (JobHead | undefined)[] {
  return keys.map((key) => {
    const row = findJob(database, key);
    return row === undefined ? undefined : headOf(row);
  });
}

function noteRefusedResult(database: MemoryDatabase, key: JobKey, refusal: { reason: string; output: string }): void {
  const row = findJob(database, key);
  if (row === undefined) return;
  row.refusedResults += 1;
  row.refusedResult = encodeRefusedResult(refusal);
}

/** Deletes the jobs of a run. */
export function deleteJobs(database: MemoryDatabase, key: RunKey): void {
  for (const row of jobsOf(database, key)) database.jobs.delete(rowKey(row.tenantId, row.idempotencyKey));
}

export const jobs: Statements<MemoryDatabase, JobStore> = {
  claim: claimJobs,
  release: releaseJobs,
  start: startJobs,
  adopt: adoptJobs,
  listOrphanedLeases,
  claimDue: claimDueJobs,
  load: loadJobs,
  noteRefusedResult,
};
