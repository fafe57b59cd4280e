/**
 * This server's own lease and lanes. The lease is opened at start, renewed regularly, and opened again if other servers
 * have ended it. Runs that were active under the old lanes are then claimed like those of any server that is gone.
 */
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import { DomainError } from "../../core/errors.ts";
import { StoreUnavailableError } from "../../store/contract/errors.ts";
import type { Health } from "../health.ts";
import type { Surroundings } from "../../store/contract/lanes.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { Store } from "../../store/contract/store.ts";
import type { Clock } from "../clock.ts";
import type { EngineSettings } from "../settings.ts";
import { createLane, type Lane } from "./lane.ts";
import { createLeaseObserver } from "./lease-observer.ts";
import { processIdentity } from "./process-identity.ts";
import { runKeyText } from "../run-table.ts";

/** This server's lanes, for the parts that commit through them. */
export type Lanes = {
  /**
   * The lane that a run belongs to.
   * @throws {DomainError} SHUTTING_DOWN; DATABASE_UNAVAILABLE while there is no lease
   */
  laneOf(key: RunKey): Lane;
  /**
   * A lane for work that belongs to no run: the same text has the same lane while the lease lasts.
   * @throws as `laneOf`
   */
  laneFor(text: string): Lane;
  /** The next lane in turn. @throws as `laneOf` */
  anyLane(): Lane;
  /** Whether a lane is an open lane of this server. */
  isOwnLane(laneId: number): boolean;
  /** The number of items that wait in all lanes. */
  pending(): number;
  /** Whether other servers use the database. */
  hasOthers(): boolean;
};

export type ServerLease = Lanes & {
  /** The id of the open lease, or else of the last one. */
  serverId(): string;
  /**
   * How long this server has seen no renewal of a server's lease, its own included. Undefined if it has not seen the
   * lease.
   */
  sinceRenewalMs(serverId: string): number | undefined;
  isServing(): boolean;
  onServingChange(callback: (serving: boolean) => void): () => void;
  /** Opens the lease and starts to renew it. @throws StoreUnavailableError */
  start(): Promise<void>;
  /** Stops renewing and ends the lease: other servers take over at once. */
  stop(): Promise<void>;
};

export function createServerLease(options: {
  store: Store;
  log: Logger;
  settings: EngineSettings;
  health: Health;
  isStopping: () => boolean;
  /** Each renewal tells it the database's time. */
  clock: Clock;
  /** Called after each successful renewal. */
  onSurroundings: (surroundings: Surroundings) => void;
  /** Called after a lease was opened to replace one that others had ended. */
  onNewLease: () => void;
}): ServerLease {
  const { store, log, settings, health, isStopping, clock, onSurroundings, onNewLease } = options;
  const observer = createLeaseObserver({ store, log, leaseMs: settings.leaseMs, gapMs: settings.renewMs * 3 });
  const callbacks = new Set<(serving: boolean) => void>();
  let serverId = "";
  let lanes: Lane[] = [];
  let isServing = false;
  let others = false;
  let lanesTaken = 0;
  /** When this server's own lease was opened or renewed, on its monotonic clock. */
  let renewedAt = 0;
  let timer: NodeJS.Timeout | undefined;
  let renewing: Promise<void> | undefined;
  let isStopped = false;

  function setServing(serving: boolean): void {
    if (serving === isServing) return;
    isServing = serving;
    for (const callback of callbacks) callback(serving);
  }

  async function open(): Promise<void> {
    const isFirst = serverId === "";
    serverId = randomUUID();
    const leases = await store.lanes.open({ serverId, process: processIdentity(), lanes: settings.lanes });
    renewedAt = performance.now();
    lanes = leases.map((lease) => createLane({ store, lease, log, onFenced: renewSoon }));
    log.info({ serverId, lanes: leases.map(({ laneId }) => laneId) }, "lease opened");
    health.clear("lease_lost");
    if (!isFirst) onNewLease();
  }

  /** Stops using lanes that others have ended; callers get the error that nothing was done. */
  function lose(): void {
    if (lanes.length === 0) return;
    health.report("lease_lost", "another server has ended this server's lease; opening a new one", { serverId });
    lanes = [];
    setServing(false);
  }

  async function renew(): Promise<void> {
    try {
      if (lanes.length === 0) await open();
      let surroundings = await clock.reading(() => store.lanes.renew(serverId));
      if (!surroundings.leaseOpen) {
        lose();
        await open();
        surroundings = await clock.reading(() => store.lanes.renew(serverId));
      }
      renewedAt = performance.now();
      others = surroundings.others.length > 0;
      const gone = await observer.observe(surroundings);
      setServing(surroundings.leaseOpen);
      onSurroundings(gone.length === 0 ? surroundings : { ...surroundings, hasOrphans: true });
    } catch (error) {
      observer.forget();
      setServing(false);
      if (!(error instanceof StoreUnavailableError)) log.error({ err: error }, "renewing the lease failed");
    }
  }

  function renewSoon(): void {
    clearTimeout(timer);
    if (!isStopped) timer = setTimeout(renewAndGoOn, 0);
  }

  function renewAndGoOn(): void {
    if (renewing !== undefined || isStopped) return;
    renewing = renew().finally(() => {
      renewing = undefined;
      clearTimeout(timer);
      if (!isStopped) timer = setTimeout(renewAndGoOn, settings.renewMs);
    });
  }

  function laneAt(number: number): Lane {
    if (isStopping()) {
      throw new DomainError("SHUTTING_DOWN", "The server is stopping; ask again.", { retryAfterMs: 500 });
    }
    if (lanes.length === 0) {
      throw new StoreUnavailableError("the server has no lease", { kind: "no_lease" });
    }
    return lanes[number % lanes.length]!;
  }

  return {
    serverId: () => serverId,
    sinceRenewalMs: (id) => (id === serverId ? performance.now() - renewedAt : observer.quietMs(id)),
    laneOf: (key) => laneAt(hash(runKeyText(key))),
    laneFor: (text) => laneAt(hash(text)),
    anyLane: () => laneAt(lanesTaken++),
    isOwnLane: (laneId) => lanes.some((lane) => lane.lease.laneId === laneId),
    pending: () => lanes.reduce((sum, lane) => sum + lane.pending, 0),
    hasOthers: () => others,
    isServing: () => isServing,
    onServingChange(callback) {
      callbacks.add(callback);
      return () => callbacks.delete(callback);
    },
    async start() {
      await open();
      renewAndGoOn();
      await renewing;
    },
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await renewing;
      setServing(false);
      await store.lanes.end(serverId).catch((error: unknown) => {
        log.warn({ err: error }, "ending the lease failed; other servers will take over when it runs out");
      });
    },
  };
}

/** FNV-1a, to spread runs over lanes. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  return value >>> 0;
}
