/**
 * Ends of jobs become transitions of their runs. Ends that arrive during a transition of their run are settled together
 * by the next one. If the database is unavailable they wait; if it rejects them the run fails, so that it is not
 * stranded.
 */
import { DamageError } from "../../core/damage.ts";
import type { CallEnd } from "../../core/settle-calls.ts";
import type { ErrorReason } from "../../core/errors.ts";
import type { JobHead, JobKey, JobStore } from "../../store/contract/jobs.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import { reportDamage } from "../report-damage.ts";
import { isGone, isTransient, retryUntilDone } from "../retry.ts";
import { runKeyText } from "../run-table.ts";
import { failRun } from "../stimuli/fail-run.ts";
import { perform, type TransitionParts } from "../transition/perform.ts";

export type EndStatus = { status: "accepted" | "duplicate" } | { status: "refused"; reason: ErrorReason };

/** One end of a job, and the callback that reports whether it counted. */
export type JobEnd = {
  end: CallEnd;
  leaseNo: number;
  /** The digest of the result as a worker sent it. */
  digest?: string;
  /** The job waited too long for a worker: this end counts only if the job is still open. */
  onlyOpen?: boolean;
  /** Called once, after the commit; never if the server stops before. */
  onSettled: (status: EndStatus) => void;
};

export type JobSettler = { settle(run: RunKey, end: JobEnd): void };

type Parts = { transitions: TransitionParts; jobs: Pick<JobStore, "load">; isStopping: () => boolean };

export function createJobSettler(parts: Parts): JobSettler {
  const { cache, log } = parts.transitions;
  const gathered = new Map<string, JobEnd[]>();

  async function settleGathered(run: RunKey, text: string): Promise<void> {
    try {
      // One turn later, so that ends of one frame are settled together.
      await new Promise((resolve) => setImmediate(resolve));
      for (let ends = gathered.get(text); ends !== undefined && ends.length > 0; ends = gathered.get(text)) {
        gathered.set(text, []);
        await settleUntilDone(parts, run, ends);
      }
    } finally {
      // In the same turn in which nothing more was found, so that a later end starts anew.
      gathered.delete(text);
      cache.release(text);
    }
  }

  return {
    settle(run, end) {
      const text = runKeyText(run);
      const waiting = gathered.get(text);
      if (waiting === undefined) {
        gathered.set(text, [end]);
        cache.retain(text);
        settleGathered(run, text).catch((error: unknown) => {
          log.error({ err: error, runId: run.runId }, "settling the jobs of a run failed");
        });
      } else waiting.push(end);
    },
  };
}

async function settleUntilDone(parts: Parts, run: RunKey, ends: readonly JobEnd[]): Promise<void> {
  await retryUntilDone(parts.isStopping, async () => {
    try {
      await settleEnds(parts, run, ends);
      return true;
    } catch (error) {
      if (!isTransient(error) && !reportDamage(parts.transitions.log, error)) {
        parts.transitions.log.error({ err: error, runId: run.runId }, "settling the jobs of a run failed");
      }
      return false;
    }
  });
}

async function settleEnds(parts: Parts, run: RunKey, ends: readonly JobEnd[]): Promise<void> {
  const { transitions } = parts;
  let live = firstOfEachJob(ends);
  const counted = new Set<JobEnd>();
  try {
    // If a job has two ends, its row says which of them may count.
    if (live.size < ends.length) live = firstOfEachJob(await stillLeased(parts, run, ends));
    const { plan } = await transitions.runs.exclusiveAlways(run, () =>
      perform(
        transitions,
        run,
        (now) =>
          live.size === 0 ? undefined : { type: "settle", now, ends: [...live.values()].map(({ end }) => end) },
        {
          leaseOf: (idempotencyKey) => live.get(idempotencyKey)!,
          mayGuess: true,
          onConflict: async () => {
            live = firstOfEachJob(await stillLeased(parts, run, ends));
          },
        },
      ),
    );
    for (const command of plan?.commands ?? []) {
      if (command.type !== "settle_jobs") continue;
      for (const { idempotencyKey } of command.settlements) counted.add(live.get(idempotencyKey)!);
    }
  } catch (error) {
    if (isTransient(error) || error instanceof DamageError) throw error;
    if (!isGone(error) && !(await transitions.runs.exclusiveAlways(run, () => failRun(transitions, run, error)))) {
      throw error;
    }
  }
  await tell(parts, run, ends, counted);
}

/** Of two ends under one lease the first counts: the record and the job's row are then about the same one. */
function firstOfEachJob(ends: readonly JobEnd[]): Map<string, JobEnd> {
  const first = new Map<string, JobEnd>();
  for (const end of ends) {
    const { idempotencyKey } = end.end;
    if (!first.has(idempotencyKey)) first.set(idempotencyKey, end);
  }
  return first;
}

/** Reports to each end whether it counted. */
async function tell(
  { jobs }: Parts,
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
  const heads = await jobs.load(others.map((end) => jobKeyOf(run, end)));
  for (const [index, end] of others.entries()) end.onSettled(statusOf(end, heads[index]));
}

/** The ends whose leases still hold, after a conflict that may concern any of them. */
async function stillLeased({ jobs }: Parts, run: RunKey, ends: readonly JobEnd[]): Promise<JobEnd[]> {
  const heads = await jobs.load(ends.map((end) => jobKeyOf(run, end)));
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
