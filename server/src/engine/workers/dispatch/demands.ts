/** How many jobs of which queues this server claims next: as many as its sessions have credit for, in equal shares. */
import { mayTake, type Session, takeCredit } from "../session.ts";
import { groupSessionsByVersions, isKnownQueue, servesVersions, versionsFromText } from "./eligible-sessions.ts";
import type { DispatchState } from "./state.ts";

/**
 * Jobs of one queue to claim: one for each entry of `sessions`, whose credit is taken. A session may occur repeatedly.
 */
export type Demand = { queue: string; versions?: readonly number[]; sessions: Session[] };

/** Takes credit for the jobs that sessions of this server could be given from the backlog, up to `claimMax`. */
export function takeDemands(state: DispatchState): Demand[] {
  const { pool, backlog } = state;
  reopenForOtherVersions(state);
  const demands: Demand[] = [];
  let total = 0;
  for (const queue of backlog) {
    if (!isKnownQueue(pool, queue)) {
      // A session that comes to serve it notes it again.
      backlog.delete(queue);
      state.notedSinceClaim.delete(queue);
      continue;
    }
    for (const [text, sessions] of groupSessionsByVersions(pool, queue)) {
      // A share for each queue, so that a long one does not take all the credit of a worker that serves many.
      const share = Math.max(1, Math.ceil(state.claimMax / backlog.size));
      const versions = versionsFromText(text);
      const demand: Demand = { queue, sessions: [], ...(versions === undefined ? {} : { versions }) };
      takeCredits(demand, sessions, Math.min(share, state.claimMax - total));
      total += demand.sessions.length;
      if (demand.sessions.length > 0) demands.push(demand);
    }
  }
  // These queues come last next time, so that no queue starves the others of their workers' credit.
  for (const { queue } of demands) {
    backlog.delete(queue);
    backlog.add(queue);
  }
  return demands;
}

/** Puts queues back into the backlog if a session serves versions for which no claim found them empty. */
function reopenForOtherVersions({ pool, backlog, emptyVersions }: DispatchState): void {
  for (const [queue, empty] of emptyVersions) {
    if ([...groupSessionsByVersions(pool, queue).keys()].some((versions) => !empty.has(versions))) backlog.add(queue);
    else if (!isKnownQueue(pool, queue)) emptyVersions.delete(queue);
  }
}

/** Takes credit from the sessions in turn, until they have no more or the demand is for `jobsMax` jobs. */
function takeCredits(demand: Demand, sessions: readonly Session[], jobsMax: number): void {
  const { queue, versions } = demand;
  let isMore = true;
  while (isMore && demand.sessions.length < jobsMax) {
    isMore = false;
    for (const session of sessions) {
      if (demand.sessions.length >= jobsMax || !mayTake(session, queue)) continue;
      if (!servesVersions(session, queue, versions)) continue;
      takeCredit(session, queue);
      demand.sessions.push(session);
      isMore = true;
    }
  }
}
