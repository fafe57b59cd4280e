/** Why a job has no result yet, as far as this server knows. For people. */
import { secondsText } from "../../core/duration.ts";
import type { RunState } from "../../core/run.ts";
import { type JobStanding, STANDING_PLACES_MAX } from "../../store/contract/standings.ts";
import type { JobReason } from "../api.ts";
import type { WorkersElsewhere } from "./elsewhere.ts";
import { queueText } from "./job-queue.ts";
import { isServedHere, sessionText, type WorkerPool } from "./pool.ts";
import { mayTake } from "./session.ts";

/** How messages name the kinds of jobs. */
const KIND_WORDS = { tool: "tool", handler: "handlers of workflow", custom: "custom effect" } as const satisfies Record<
  JobStanding["kind"],
  string
>;

/** Names the queue of a job: ``tool `pay` ``. */
export function queueWords({ kind, name }: Pick<JobStanding, "kind" | "name">): string {
  return `${KIND_WORDS[kind]} \`${name}\``;
}

/** @param parts `serverId` is this server's id */
export function jobReasonOf(
  { pool, elsewhere, serverId }: { pool: WorkerPool; elsewhere: WorkersElsewhere; serverId: string },
  { tenantId, version }: RunState,
  job: JobStanding,
): JobReason {
  if (job.workerSessionId !== undefined) return leasedReason(job, isConnected(pool, serverId, tenantId, job));
  if (job.held) return { kind: "held", message: "Its run is paused.", metadata: {} };
  if (job.state === "delayed") return retryReason(job);
  return openReason(pool, elsewhere, { tenantId, version }, job);
}

/**
 * Whether the worker that has a job is connected. This server knows its own workers, and those of others by the list.
 */
function isConnected(pool: WorkerPool, serverId: string, tenantId: string, job: JobStanding): boolean {
  const { workerSessionId = "", leaseServerId, isWorkerListed } = job;
  const session = pool.sessions.get(sessionText(tenantId, workerSessionId));
  return session === undefined || leaseServerId !== serverId ? isWorkerListed === true : session.link !== undefined;
}

function leasedReason({ workerSessionId = "", leaseServerId = "" }: JobStanding, isAtWorker: boolean): JobReason {
  const metadata = { worker_session_id: workerSessionId, server_id: leaseServerId };
  if (isAtWorker) {
    return { kind: "at_worker", message: `Worker ${workerSessionId} at server ${leaseServerId} has it.`, metadata };
  }
  const message = `Worker ${workerSessionId} has it and is not connected. If it stays away, its lease ends.`;
  return { kind: "worker_away", message, metadata };
}

function retryReason({ attempt, dueTime }: JobStanding): JobReason {
  const metadata = { attempt: String(attempt), ...(dueTime === undefined ? {} : { due_time: dueTime }) };
  const when = dueTime === undefined ? "" : ` at ${secondsText(dueTime)}`;
  return { kind: "retry_at", message: `An attempt failed. Attempt ${attempt} begins${when}.`, metadata };
}

function openReason(
  pool: WorkerPool,
  elsewhere: WorkersElsewhere,
  { tenantId, version }: Pick<RunState, "tenantId" | "version">,
  job: JobStanding,
): JobReason {
  const { kind, name, queuePlace = 1 } = job;
  const queue = queueText({ tenantId, kind, name });
  const ofVersion = kind === "handler" ? `, version ${version}` : "";
  const words = `${queueWords(job)}${ofVersion}`;
  const isHere = isServedHere(pool, queue, version);
  const isElsewhere = elsewhere.serve(queue, version);
  if (!isHere && !isElsewhere) {
    return { kind: "no_worker", message: `No worker that serves ${words} is connected.`, metadata: {} };
  }
  const metadata = { queue_place: String(queuePlace) };
  const hasRoom = pool.sessions
    .values()
    .some((session) => session.tenantId === tenantId && mayTake(session, queue, version));
  if (queuePlace === 1 && !hasRoom && isElsewhere) {
    // Only the server of a worker knows how many jobs the worker still takes.
    const here = isHere ? `No worker of this server that serves ${words} has room for more jobs.` : "";
    const there = `Workers of other servers serve ${words}; this server does not know whether they have room.`;
    const message = ["It is the first in its queue.", here, there].filter((part) => part !== "").join(" ");
    return { kind: "queue", message, metadata };
  }
  if (queuePlace === 1 && !hasRoom) {
    const message = `It is the first in its queue. No worker that serves ${words} has room for more jobs.`;
    return { kind: "no_credit", message, metadata };
  }
  const before =
    queuePlace > STANDING_PLACES_MAX ? `${STANDING_PLACES_MAX} or more jobs are` : jobsWords(queuePlace - 1);
  const message = queuePlace === 1 ? "It is about to be given to a worker." : `${before} ahead of it in its queue.`;
  return { kind: "queue", message, metadata };
}

function jobsWords(jobs: number): string {
  return jobs === 1 ? "1 job is" : `${jobs} jobs are`;
}
