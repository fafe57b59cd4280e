/**
 * Ends of jobs become transitions of their runs. Ends that come for a run while one of its transitions is under way are settled
 * together by the next. The database being away delays them; what it refuses fails the run, so that it is not stranded.
 */
import type { CallEnd } from "../../core/settle-call.ts";
import { DomainError, type ErrorReason } from "../../core/errors.ts";
import type { JobHead, JobKey } from "../../store/contract/jobs.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import { failRun } from "../stimuli/advance-run.ts";
import type { EngineContext } from "../context.ts";
import { pause } from "../pause.ts";
import { OwnedElsewhereError, perform } from "../transition/perform.ts";
import { runKeyText } from "../run-table.ts";

/** Pauses between attempts while the database is away or others keep changing the run; the last one repeats. */
const RETRY_PAUSES_MS = [50, 200, 500, 1_000, 2_000];
const TRANSIENT: ReadonlySet<ErrorReason> = new Set([
  "DATABASE_UNAVAILABLE",
  "TRANSITION_CONFLICT",
  "SHUTTING_DOWN",
  "OVERLOADED",
]);

export type EndStatus = { status: "accepted" | "duplicate" } | { status: "refused"; reason: ErrorReason };

/** One end of a job, and who is to be told what became of it. */
export type JobEnd = {
  end: CallEnd;
  leaseNo: number;
  /** The run as it was when the result came, if this server committed it last: it need not be read then. */
  run?: StoredRun | undefined;
  /** Of the result as a worker sent it. */
  digest?: string;
  /** The job waited for a worker too long: it counts only while it still does. */
  onlyOpen?: boolean;
  /** Called once, after the commit; not at all if the server stops before. */
  onSettled: (status: EndStatus) => void;
};

export type JobSettler = { settle(run: RunKey, end: JobEnd): void };

export function createJobSettler(context: EngineContext): JobSettler {
  const gathered = new Map<string, JobEnd[]>();

  async function settleGathered(run: RunKey, text: string): Promise<void> {
    // One turn later, so that what arrives in one frame is settled together.
    await new Promise((resolve) => setImmediate(resolve));
    let last: StoredRun | undefined;
    for (let ends = gathered.get(text); ends !== undefined && ends.length > 0; ends = gathered.get(text)) {
      gathered.set(text, []);
      const remembered = latestOf([last, ...ends.map((end) => end.run)]);
      last = await settleUntilDone(context, run, ends, remembered);
    }
    gathered.delete(text);
  }

  return {
    settle(run, end) {
      const text = runKeyText(run);
      const waiting = gathered.get(text);
      if (waiting !== undefined) {
        waiting.push(end);
        return;
      }
      gathered.set(text, [end]);
      settleGathered(run, text).catch((error: unknown) => {
        gathered.delete(text);
        context.log.error({ err: error, runId: run.runId }, "settling the jobs of a run failed");
      });
    },
  };
}

function latestOf(runs: readonly (StoredRun | undefined)[]): StoredRun | undefined {
  let latest: StoredRun | undefined;
  for (const run of runs) if (run !== undefined && run.state.seq > (latest?.state.seq ?? 0)) latest = run;
  return latest;
}

/** @returns the run as it is then, where that is known */
async function settleUntilDone(
  context: EngineContext,
  run: RunKey,
  ends: readonly JobEnd[],
  remembered: StoredRun | undefined,
): Promise<StoredRun | undefined> {
  for (let attempt = 0; !context.isStopping(); attempt++) {
    try {
      return await settleEnds(context, run, ends, attempt === 0 ? remembered : undefined);
    } catch (error) {
      if (!(error instanceof DomainError) || !TRANSIENT.has(error.reason)) {
        context.log.error({ err: error, runId: run.runId }, "settling the jobs of a run failed");
      }
    }
    await pause(RETRY_PAUSES_MS[Math.min(attempt, RETRY_PAUSES_MS.length - 1)]!);
  }
  return undefined;
}

async function settleEnds(
  context: EngineContext,
  run: RunKey,
  ends: readonly JobEnd[],
  remembered: StoredRun | undefined,
): Promise<StoredRun | undefined> {
  let after: StoredRun | undefined;
  let live = firstOfEachJob(ends);
  const counted = new Set<JobEnd>();
  try {
    // Which of two for one job may count, the job's row says.
    if (live.size < ends.length) live = firstOfEachJob(await stillLeased(context, run, ends));
    const { run: settled, plan } = await context.runs.exclusiveAlways(run, (entry) =>
      perform(
        context,
        entry,
        (now) =>
          live.size === 0 ? undefined : { type: "settle", now, ends: [...live.values()].map(({ end }) => end) },
        {
          leaseOf: (idempotencyKey) => live.get(idempotencyKey)!,
          remembered,
          onConflict: async () => {
            live = firstOfEachJob(await stillLeased(context, run, ends));
          },
        },
      ),
    );
    after = settled;
    for (const command of plan?.commands ?? []) {
      if (command.type !== "settle_jobs") continue;
      for (const { idempotencyKey } of command.settlements) counted.add(live.get(idempotencyKey)!);
    }
  } catch (error) {
    const isGone =
      error instanceof OwnedElsewhereError || (error instanceof DomainError && error.reason === "RUN_UNKNOWN");
    const isTransient = error instanceof DomainError && TRANSIENT.has(error.reason);
    if (isTransient) throw error;
    if (!isGone && !(await context.runs.exclusiveAlways(run, (entry) => failRun(context, entry, error)))) throw error;
  }
  await tell(context, run, ends, counted);
  return after;
}

/** Of two ends under one lease the first counts: what is recorded and what the job's row says of it are then the same one's. */
function firstOfEachJob(ends: readonly JobEnd[]): Map<string, JobEnd> {
  const first = new Map<string, JobEnd>();
  for (const end of ends) {
    const { idempotencyKey } = end.end;
    if (!first.has(idempotencyKey)) first.set(idempotencyKey, end);
  }
  return first;
}

/** Tells everybody what became of their end. */
async function tell(
  context: EngineContext,
  run: RunKey,
  ends: readonly JobEnd[],
  counted: ReadonlySet<JobEnd>,
): Promise<void> {
  const others: JobEnd[] = [];
  for (const end of ends) {
    if (counted.has(end)) end.onSettled({ status: "accepted" });
    else others.push(end);
  }
  if (others.length === 0) return;
  const heads = await context.store.jobs.load(others.map((end) => jobKeyOf(run, end)));
  for (const [index, end] of others.entries()) end.onSettled(statusOf(end, heads[index]));
}

/** The ends whose leases hold, after a conflict that may be about any of them. */
async function stillLeased(context: EngineContext, run: RunKey, ends: readonly JobEnd[]): Promise<JobEnd[]> {
  const heads = await context.store.jobs.load(ends.map((end) => jobKeyOf(run, end)));
  return ends.filter((end, index) => {
    const head = heads[index];
    if (head === undefined || head.state === "settled" || head.state === "cancelled") return false;
    return head.leaseNo === end.leaseNo && (end.onlyOpen !== true || head.state === "open");
  });
}

function jobKeyOf(run: RunKey, { end }: JobEnd): JobKey {
  return { tenantId: run.tenantId, idempotencyKey: end.idempotencyKey };
}

/** Why an end did not count. */
function statusOf(end: JobEnd, head: JobHead | undefined): EndStatus {
  if (head === undefined) return { status: "refused", reason: "JOB_UNKNOWN" };
  const isSettledLease = head.settledLeaseNo === end.leaseNo;
  if (isSettledLease && end.digest !== undefined && head.settledDigest === end.digest) return { status: "duplicate" };
  if (head.state === "settled" || isSettledLease) return { status: "refused", reason: "JOB_SETTLED" };
  if (head.state === "cancelled") return { status: "refused", reason: "JOB_CANCELLED" };
  return { status: "refused", reason: head.leaseNo > end.leaseNo ? "JOB_LEASE_LOST" : "JOB_CANCELLED" };
}
