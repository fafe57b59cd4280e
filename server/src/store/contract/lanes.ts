/** Leases of servers, and their lanes. */
import type { Instant } from "../../core/duration.ts";

/**
 * A lane: a lease to commit. Its id rises with time across the whole database. `nonce` distinguishes it from a lane
 * with the same id that existed before a backup was restored.
 */
export type Lane = { laneId: number; nonce: number };

/** A server's lease, as other servers observe it. */
export type ServerLease = { serverId: string; process: string; renewals: number };

/** What a server learns with each renewal of its lease: one statement, about every 2 s. */
export type Surroundings = {
  /** Database time. */
  now: Instant;
  /** False: another server has ended this server's lease, so it must stop committing. */
  leaseOpen: boolean;
  /** Every other server whose lease is open. */
  others: ServerLease[];
  /** Whether active runs belong to lanes that have ended. */
  hasOrphans: boolean;
  /** The earliest `wakeTime` of all runs. */
  nextWakeTime?: Instant;
  /** Whether jobs are leased to workers of servers that have ended. */
  hasOrphanedLeases: boolean;
  /** The earliest time at which a delayed job becomes open, or an open one will have waited too long. */
  nextJobTime?: Instant;
};

/** A lane, as the cursors of the feed need it. */
export type LaneState = Lane & { ended: boolean; lastBatchNo: number };

export interface LaneStore {
  /** Opens a server's lease with `lanes` lanes. Lane ids become visible in order. */
  open(request: { serverId: string; process: string; lanes: number }): Promise<Lane[]>;
  /**
   * Renews the lease and returns the server's surroundings. Uses a connection of its own, which busy statements cannot
   * starve.
   */
  renew(serverId: string): Promise<Surroundings>;
  /** Ends a server's lease: waits for its lanes' batches in flight (at most lock_timeout) and fences all later ones. */
  end(serverId: string): Promise<void>;
  /** Returns every lane that has not ended, or that has an id above `aboveLaneId`. */
  list(aboveLaneId: number): Promise<LaneState[]>;
}
