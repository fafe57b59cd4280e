/** Leases of servers and their lanes. */
import type { Instant } from "../../core/duration.ts";

/**
 * A lane lease. Its number rises with time over the whole database; `nonce` tells it from its like before a restored
 * backup.
 */
export type Lane = { laneId: number; nonce: number };

/** A server's lease, observed by the others. */
export type ServerLease = { serverId: string; process: string; renewals: number };

/** What the server sees with each renewal of its lease; one statement, about every 2 s. */
export type Surroundings = {
  /** Database time. */
  now: Instant;
  /** False: others have ended this server's lease, so it must stop committing. */
  leaseOpen: boolean;
  /** Every other server whose lease is open. */
  others: ServerLease[];
  /** Whether active runs belong to lanes that have ended. */
  hasOrphans: boolean;
  /** The earliest `wakeTime` of all runs. */
  nextWakeTime?: Instant;
  /** Whether jobs are leased to workers of servers that have ended. */
  hasOrphanedLeases: boolean;
  /** The earliest time at which a delayed job becomes open, or an open one has waited too long. */
  nextJobTime?: Instant;
};

/** A lane as the feed's cursors see it. */
export type LaneState = Lane & { ended: boolean; lastBatchNo: number };

export interface LaneStore {
  /** Opens a server's lease with `lanes` lanes. Lane ids become visible in their order. */
  open(request: { serverId: string; process: string; lanes: number }): Promise<Lane[]>;
  /** Renews the lease and says what is around, on a connection of its own that busy statements cannot starve. */
  renew(serverId: string): Promise<Surroundings>;
  /**
   * Ends a server's lease: waits for the batches of its lanes in flight (at most lock_timeout), fences all later ones.
   */
  end(serverId: string): Promise<void>;
  /** Every lane that has not ended, or that ended with an id above `aboveLaneId`. */
  list(aboveLaneId: number): Promise<LaneState[]>;
}
