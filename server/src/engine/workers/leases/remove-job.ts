/** Takes jobs away from their sessions. */
import type { AssignedJob } from "../assigned-job.ts";
import { leaveQueue, type Session } from "../session.ts";
import type { LeaseState } from "./state.ts";
import { unwatchRun } from "./watches.ts";

/** Nothing else happens to the job here; its lease, if it has one, goes on in the database. */
export function removeJob(state: LeaseState, session: Session, job: AssignedJob): void {
  state.pool.jobs.delete(job.token);
  session.jobs.delete(job.token);
  leaveQueue(session, job.queue);
  if (job.handlerRun === undefined) unwatchRun(state, job);
  if (session.serves.get(job.queue)?.concurrency !== undefined) announceRoom(state);
}

/** Removes a job that its worker is to stop. */
export function cancelJob(state: LeaseState, session: Session, job: AssignedJob): void {
  removeJob(state, session, job);
  session.link?.send({ type: "cancel", tokens: [job.token] });
}

/** The worker need not grant credit for its next job of the queue. Announced once for all the jobs of a frame. */
function announceRoom(state: LeaseState): void {
  if (state.isRoomAnnounced) return;
  state.isRoomAnnounced = true;
  queueMicrotask(() => {
    state.isRoomAnnounced = false;
    state.onRoom();
  });
}
