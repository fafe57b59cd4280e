/**
 * Leases end by observation. A server takes over from another one that it has not seen renew for `leaseMs`, measured by
 * its own clock and only while its own renewals succeeded: time in which the database or this server was away does not
 * count. If the other server ran on the same machine and its process is gone, it is taken over at once.
 */
import type { Logger } from "pino";
import type { ServerLease, Surroundings } from "../../store/contract/lanes.ts";
import type { Store } from "../../store/contract/store.ts";
import { isProcessGone } from "./process-identity.ts";

export type LeaseObserver = {
  /** Notes a successful renewal. Ends the leases of servers that are gone, and returns their ids. */
  observe(surroundings: Surroundings): Promise<string[]>;
  /** Notes a failed renewal: the time observed so far does not count. */
  forget(): void;
  /** How long a server has not renewed its lease, as observed. Undefined if the last observation did not find it. */
  quietMs(serverId: string): number | undefined;
};

export function createLeaseObserver(options: {
  store: Store;
  log: Logger;
  leaseMs: number;
  /** If this server's own renewals are further apart than this, the others may not have had time to renew. */
  gapMs: number;
  monotonicMs?: () => number;
}): LeaseObserver {
  const { store, log, leaseMs, gapMs, monotonicMs = () => performance.now() } = options;
  const seen = new Map<string, { renewals: number; quietMs: number }>();
  let lastMs: number | undefined;

  function isGone(other: ServerLease, elapsedMs: number): boolean {
    if (isProcessGone(other.process)) return true;
    const known = seen.get(other.serverId);
    if (known === undefined || known.renewals !== other.renewals) {
      seen.set(other.serverId, { renewals: other.renewals, quietMs: 0 });
      return false;
    }
    known.quietMs += elapsedMs;
    return known.quietMs >= leaseMs;
  }

  return {
    async observe({ others }) {
      const nowMs = monotonicMs();
      const elapsedMs = lastMs === undefined || nowMs - lastMs > gapMs ? 0 : nowMs - lastMs;
      if (lastMs !== undefined && nowMs - lastMs > gapMs) seen.clear();
      lastMs = nowMs;
      for (const serverId of seen.keys()) {
        if (!others.some((other) => other.serverId === serverId)) seen.delete(serverId);
      }
      const gone = others.filter((other) => isGone(other, elapsedMs));
      for (const { serverId, process } of gone) {
        log.warn({ serverId, process }, "taking over the runs of a server that is gone");
        await store.lanes.end(serverId);
        seen.delete(serverId);
      }
      return gone.map(({ serverId }) => serverId);
    },
    forget() {
      lastMs = undefined;
      seen.clear();
    },
    quietMs: (serverId) => seen.get(serverId)?.quietMs,
  };
}
