/**
 * Leases end by observation: a server that this one has seen not renewing for `leaseMs`, on this server's own clock and
 * while its own renewals succeeded, is taken over. Time in which the database or this server was away does not count. A
 * server on the same machine whose process is gone is taken over at once.
 */
import type { Logger } from "pino";
import type { ServerLease, Surroundings } from "../../store/contract/lanes.ts";
import type { Store } from "../../store/contract/store.ts";
import { isProcessGone } from "./process-identity.ts";

export type LeaseObserver = {
  /** Takes note of one successful renewal; ends the leases of servers that are gone, and gives their ids. */
  observe(surroundings: Surroundings): Promise<string[]>;
  /** A renewal failed: what was counted so far does not count. */
  forget(): void;
  /** For how long a server was seen not renewing its lease. Undefined if it was not seen at the last look around. */
  quietMs(serverId: string): number | undefined;
};

export function createLeaseObserver(options: {
  store: Store;
  log: Logger;
  leaseMs: number;
  /** Own renewals further apart than this do not prove that time was available to the others. */
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
        log.warn({ serverId, process }, "taking over from a server that is gone");
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
