/** How a run stands. */
import { channelKey } from "../../core/event.ts";
import { openWaitOf } from "../../core/run.ts";
import type { JobState } from "../contract/jobs.ts";
import type { RunKey } from "../contract/runs.ts";
import {
  type JobStanding,
  type RunStanding,
  STANDING_JOBS_MAX,
  STANDING_MAIL_MAX,
  STANDING_PLACES_MAX,
  type StandingStore,
} from "../contract/standings.ts";
import type { Statements } from "../map-verbs.ts";
import { type JobRow, type MemoryDatabase, rowKey, type RunRow, timeOf } from "./database.ts";
import { compareTurns, headOf, isIn, jobsOf } from "./jobs.ts";
import { readRun } from "./runs.ts";

const OPEN_STATES: readonly JobState[] = ["running", "leased", "open", "delayed"];

function readStanding(database: MemoryDatabase, { tenantId, runId }: RunKey): RunStanding | undefined {
  const row = database.runs.get(rowKey(tenantId, runId));
  if (row === undefined) return undefined;
  const mail = [...database.mail.values()].filter((one) => one.tenantId === tenantId && one.runId === runId);
  const jobs = jobsOf(database, row);
  const counts = Map.groupBy(jobs, ({ state }) => state);
  const open = jobs
    .filter(({ state }) => OPEN_STATES.includes(state))
    .toSorted((a, b) => OPEN_STATES.indexOf(a.state) - OPEN_STATES.indexOf(b.state) || compareTurns(a, b));
  return {
    now: timeOf(database),
    run: readRun(row, false),
    ...ownerOf(database, row),
    ...(row.wakeTime === undefined ? {} : { wakeTime: row.wakeTime }),
    mail: {
      first: mail.slice(0, STANDING_MAIL_MAX).map(({ kind, createTime }) => ({ kind, createTime })),
      total: mail.length,
    },
    jobCounts: [...counts].map(([state, { length }]) => ({ state, count: length })),
    openJobs: open.slice(0, STANDING_JOBS_MAX).map((job) => jobStanding(database, job)),
    ...channelOf(database, row),
  };
}

function ownerOf(database: MemoryDatabase, { ownerLane: laneId }: RunRow): Pick<RunStanding, "owner"> {
  if (laneId === undefined) return {};
  const server = database.lanes.get(laneId)?.server;
  if (server === undefined) return { owner: { laneId, ended: true } };
  const { serverId, process, ended } = server;
  return { owner: { laneId, ended, server: { serverId, process } } };
}

function channelOf(database: MemoryDatabase, { tenantId, head }: RunRow): Pick<RunStanding, "channel"> {
  const wait = openWaitOf(head);
  if (wait?.asks !== "event") return {};
  const row = database.channels.get(channelKey({ tenantId, scope: wait.scope, scopeId: wait.scope_id }));
  return { channel: { lastNumber: row?.lastNumber ?? 0, wokenNumber: row?.wokenNumber ?? 0 } };
}

function jobStanding(database: MemoryDatabase, row: JobRow): JobStanding {
  const { idempotencyKey, kind, name, state, leaseNo, workerSessionId, leaseServerId, leaseTime, losses, attempt } =
    headOf(row);
  return {
    idempotencyKey,
    kind,
    name,
    nodeId: row.nodeId,
    state,
    leaseNo,
    ...(workerSessionId === undefined ? {} : { workerSessionId }),
    ...(leaseServerId === undefined ? {} : { leaseServerId }),
    ...(leaseTime === undefined ? {} : { leaseTime }),
    losses,
    attempt,
    held: row.held,
    ...(row.dueTime === undefined ? {} : { dueTime: row.dueTime }),
    ...(state === "open" && !row.held ? { queuePlace: placeOf(database, row) } : {}),
    ...(workerSessionId === undefined
      ? {}
      : { isWorkerListed: isWorkerListed(database, row.tenantId, workerSessionId) }),
  };
}

function placeOf(database: MemoryDatabase, row: JobRow): number {
  const before = database.jobs
    .values()
    .filter((other) => other.state === "open" && !other.held && isIn(row, other) && compareTurns(other, row) < 0)
    .take(STANDING_PLACES_MAX);
  return 1 + before.toArray().length;
}

function isWorkerListed(database: MemoryDatabase, tenantId: string, workerSessionId: string): boolean {
  const worker = database.workers.get(rowKey(tenantId, workerSessionId));
  return worker !== undefined && database.servers.get(worker.serverId)?.ended === false;
}

export const standings: Statements<MemoryDatabase, StandingStore> = { read: readStanding };
