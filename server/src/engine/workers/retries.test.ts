/** What this server retries with its workers' jobs follows the one rule of `retryUntilDone`. */
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { StoreUnavailableError } from "../../store/contract/errors.ts";
import type { WorkerLink } from "../api.ts";
import type { AssignedJob } from "./assigned-job.ts";
import { noteSession } from "./dispatch/backlog.ts";
import { createDispatchState, type DispatchParts } from "./dispatch/state.ts";
import { type LeaseToEnd, releaseLeases } from "./leases/release.ts";
import { startJobs } from "./leases/start-jobs.ts";
import { createLeaseState, type LeaseParts } from "./leases/state.ts";
import { sessionText, type WorkerPool } from "./pool.ts";
import { type Session, servedQueues } from "./session.ts";

/** The pauses of `retryUntilDone`, added up. */
const ATTEMPTED_AT = [0, 50, 250, 750, 1_750, 3_750];

const JOB = { token: "token", lease: { tenantId: "t", idempotencyKey: "key", leaseNo: 1 } } as AssignedJob;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A pool whose database is away until the last of the attempts, and when it was asked. */
function poolWithoutDatabase() {
  const attemptedAt: number[] = [];
  const begin = Date.now();
  let isStopping = false;
  const attempt = async () => {
    attemptedAt.push(Date.now() - begin);
    if (attemptedAt.length < ATTEMPTED_AT.length) throw new StoreUnavailableError("away");
    return [];
  };
  const link: WorkerLink = { send: () => undefined, end: () => undefined };
  const session = {
    tenantId: "t",
    workerSessionId: "w",
    link,
    serves: servedQueues("t", { tools: [{ name: "pay", concurrency: 0 }], workflows: [], customTypes: [] }),
    credit: 1,
    isDraining: false,
    isQuiet: false,
    jobs: new Map(),
    inFlight: new Map(),
  } as unknown as Session;
  const pool = {
    context: {
      store: { jobs: { claim: attempt, release: attempt, start: attempt } },
      settings: { leaseLossesMax: 5 },
      log: pino({ level: "silent" }),
      isStopping: () => isStopping,
    },
    sessions: new Map([[sessionText("t", "w"), session]]),
    jobs: new Map([[JOB.token, { session, job: JOB }]]),
    isDoubtful: false,
  } as unknown as WorkerPool;
  return { pool, session, attemptedAt, stop: () => (isStopping = true) };
}

type Away = ReturnType<typeof poolWithoutDatabase>;

const serverId = () => "server-1";

function claim({ pool, session }: Away): void {
  noteSession(createDispatchState({ pool, serverId } as DispatchParts), session);
}

function release({ pool }: Away): void {
  releaseLeases(createLeaseState(pool, { serverId } as LeaseParts), [{ queue: "q", isLoss: false } as LeaseToEnd]);
}

function start({ pool, session }: Away): void {
  startJobs(createLeaseState(pool, { serverId, onRoom: () => undefined } as LeaseParts), session, [JOB]);
}

describe.each([
  ["claiming jobs", claim],
  ["ending leases", release],
  ["starting jobs", start],
])("%s", (_what, begin) => {
  test("is attempted again after pauses that grow, until it is done", async () => {
    const away = poolWithoutDatabase();
    begin(away);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(away.attemptedAt).toEqual(ATTEMPTED_AT);
  });

  test("is not attempted again after the server has begun to stop", async () => {
    const away = poolWithoutDatabase();
    begin(away);
    await vi.advanceTimersByTimeAsync(60);
    away.stop();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(away.attemptedAt).toEqual(ATTEMPTED_AT.slice(0, 2));
  });
});

test("jobs that no worker has any more are not started", async () => {
  const away = poolWithoutDatabase();
  start(away);
  await vi.advanceTimersByTimeAsync(60);
  away.pool.jobs.clear();
  await vi.advanceTimersByTimeAsync(20_000);
  expect(away.attemptedAt).toEqual(ATTEMPTED_AT.slice(0, 2));
});
