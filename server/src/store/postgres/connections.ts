/** How many connections a server opens, and how they are divided among their purposes. */
import assert from "node:assert/strict";

/** All connections of a server, if nothing else is configured: eight for reads, besides those that have a purpose. */
export const CONNECTIONS_DEFAULT = 12;
/** One each for the lease, for notices, for commits and for everything else. */
export const CONNECTIONS_MIN = 4;
/** Far more than a server can keep busy; a Postgres has 100 for everyone. */
export const CONNECTIONS_MAX = 1_000;

/**
 * Divides the connections of a server among its purposes: one each for the lease and for notices, one for each lane's
 * commits but at most half of the rest, and the others for everything else.
 */
export function divideConnections(connections: number, lanesMax: number): { commits: number; reads: number } {
  assert(connections >= CONNECTIONS_MIN, `a store needs at least ${CONNECTIONS_MIN} connections`);
  const commits = Math.min(lanesMax, Math.floor((connections - 2) / 2));
  return { commits, reads: connections - 2 - commits };
}
