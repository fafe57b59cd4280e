/** Finds leases that have ended without this server hearing of it, because news from another server was lost. */
import type { JobHead } from "../../../store/contract/jobs.ts";
import type { AssignedJob } from "../assigned-job.ts";
import { cancelJob } from "./remove-job.ts";
import type { LeaseState } from "./state.ts";

/** Leases read in one statement. */
const RECONCILE_MAX = 500;

/** Stops jobs whose leases have ended. Reads one row for each job, without payloads. */
export async function reconcileLeases(state: LeaseState): Promise<void> {
  const { pool } = state;
  const entries = [...pool.jobs.values()].filter(({ job }) => job.lease !== undefined);
  for (let start = 0; start < entries.length; start += RECONCILE_MAX) {
    const batch = entries.slice(start, start + RECONCILE_MAX);
    const heads = await pool.context.store.jobs.load(batch.map(({ job }) => job.lease!));
    for (const [index, { session, job }] of batch.entries()) {
      // The job may have ended while its row was read.
      const isAssigned = pool.jobs.get(job.token)?.job === job;
      if (isAssigned && !keepsLease(job, heads[index])) cancelJob(state, session, job);
    }
  }
}

/** Whether the job still has its lease. It does not matter at which server its worker is now. */
function keepsLease({ lease }: AssignedJob, head: JobHead | undefined): boolean {
  return (head?.state === "leased" || head?.state === "running") && head.leaseNo === lease!.leaseNo;
}
