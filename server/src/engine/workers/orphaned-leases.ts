/**
 * Leases of servers that are gone. Their workers have some time to connect to another server; then the jobs go to
 * others.
 */
import type { OrphanedLeases } from "../../store/contract/jobs.ts";
import { adoptLeases } from "./connection/adopt-leases.ts";
import type { WorkerParts } from "./connection/parts.ts";
import { leaseToEnd } from "./leases/release.ts";
import { sessionText } from "./pool.ts";
import { CREDIT_MAX } from "./session.ts";

const ORPHANS_MAX = 1_000;
/** The part of the time for reconnection during which this server itself must have been running: a quarter. */
const OBSERVED_SHARE = 4;

export type OrphanKeeper = {
  /** Takes over the leases of workers that are here. Ends those whose workers have not come in time. */
  check(): Promise<void>;
  /** There are no orphaned leases. */
  clear(): void;
};

export function createOrphanKeeper(parts: WorkerParts): OrphanKeeper {
  const { pool, leases, serverId } = parts;
  const { store, settings } = pool.context;
  /** How long each lease has been seen without its worker here. */
  const orphans = new Map<string, { quietMs: number; seenAt: number }>();

  async function checkOrphan(orphan: OrphanedLeases, text: string): Promise<void> {
    const { tenantId, workerSessionId } = orphan;
    const session = pool.sessions.get(sessionText(tenantId, workerSessionId));
    if (session?.link !== undefined) {
      await adoptLeases(parts, session, undefined);
      return;
    }
    const nowMs = pool.nowMs();
    const known = orphans.get(text);
    // If two checks are further apart than usual, as while the database is away, the time between them does not count.
    const elapsedMs = known === undefined ? 0 : Math.min(nowMs - known.seenAt, settings.renewMs * 3);
    const quietMs = (known?.quietMs ?? 0) + elapsedMs;
    orphans.set(text, { quietMs, seenAt: nowMs });
    // Measured since the lease ended, and only while this server could be connected to. Servers that come and go add
    // up. If the database's clock was set back since, only what this server has seen counts.
    const isGone = orphan.goneMs >= settings.orphanMs && quietMs >= settings.orphanMs / OBSERVED_SHARE;
    if (!isGone && quietMs < settings.orphanMs) return;
    const request = { tenantId, workerSessionId, serverId: serverId(), fromServerId: orphan.serverId };
    const heads = await store.jobs.adopt({ ...request, limit: CREDIT_MAX });
    leases.release(heads.map((head) => leaseToEnd(head, true)));
    orphans.delete(text);
  }

  return {
    async check() {
      const found = await store.jobs.listOrphanedLeases(ORPHANS_MAX);
      const seen = new Set<string>();
      for (const orphan of found) {
        const text = `${sessionText(orphan.tenantId, orphan.workerSessionId)}/${orphan.serverId}`;
        seen.add(text);
        await checkOrphan(orphan, text);
      }
      for (const text of orphans.keys()) if (!seen.has(text)) orphans.delete(text);
    },
    clear: () => orphans.clear(),
  };
}
