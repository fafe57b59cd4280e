/** Which sessions of this server may be given a job of a queue. */
import type { WorkerPool } from "../pool.ts";
import { hasRoom, mayTake, servesVersion, type Session } from "../session.ts";
import type { DispatchState } from "./state.ts";

/** The text of the group of sessions that serve all versions. */
export const ALL_VERSIONS = "";

/** A session that may be given a job of the queue. Sessions take turns, so that no worker gets all the jobs. */
export function findSession(state: DispatchState, queue: string, version?: number): Session | undefined {
  const sessions = [...state.pool.sessions.values()];
  for (let step = 1; step <= sessions.length; step++) {
    const index = (state.lastServedIndex + step) % sessions.length;
    const session = sessions[index]!;
    if (!mayTake(session, queue, version)) continue;
    state.lastServedIndex = index;
    return session;
  }
  return undefined;
}

/** Whether a session may be given a job of the queue now, whatever the job's version. */
export function hasSessionForAnyVersion(pool: WorkerPool, queue: string): boolean {
  for (const session of pool.sessions.values()) {
    if (mayTake(session, queue) && session.serves.get(queue)?.versions === undefined) return true;
  }
  return false;
}

/** Whether a session serves the queue, even if it is not connected or has no credit. */
export function isKnownQueue(pool: WorkerPool, queue: string): boolean {
  for (const session of pool.sessions.values()) if (session.serves.has(queue)) return true;
  return false;
}

/** The sessions that may be given a job of the queue, grouped by the `versionsText` of the versions that they serve. */
export function groupSessionsByVersions(pool: WorkerPool, queue: string): Map<string, Session[]> {
  const groups = new Map<string, Session[]>();
  for (const session of pool.sessions.values()) {
    const served = session.serves.get(queue);
    if (served === undefined || !hasRoom(session)) continue;
    const text = versionsText(served.versions);
    const group = groups.get(text);
    if (group === undefined) groups.set(text, [session]);
    else group.push(session);
  }
  return groups;
}

/** Versions as text, whatever their order. */
export function versionsText(versions: readonly number[] | undefined): string {
  return versions === undefined ? ALL_VERSIONS : JSON.stringify(versions.toSorted((a, b) => a - b));
}

export function versionsFromText(text: string): number[] | undefined {
  return text === ALL_VERSIONS ? undefined : (JSON.parse(text) as number[]);
}

/** Whether the session serves all of these versions of the queue; undefined stands for every version. */
export function servesVersions(session: Session, queue: string, versions: readonly number[] | undefined): boolean {
  const served = session.serves.get(queue);
  if (served === undefined) return false;
  return versions === undefined ? served.versions === undefined : versions.every((one) => servesVersion(served, one));
}
