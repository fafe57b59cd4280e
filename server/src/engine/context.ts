/** What the operations of the engine share. Made once by `createEngine`; operations are plain functions over it. */
import type { Logger } from "pino";
import type { Channel, EventLookup, EventQuery } from "../core/event.ts";
import type { Instant } from "../core/duration.ts";
import type { RunState } from "../core/run.ts";
import type { Mail, RunKey, Store, StoredRun } from "../store/contract.ts";
import type { BlockedReason, RunView } from "./api.ts";
import type { Admission } from "./admission.ts";
import type { Clock } from "./clock.ts";
import type { Lane } from "./lane.ts";
import type { NoticeHub } from "./notice-hub.ts";
import type { RunTable } from "./run-table.ts";
import type { WorkflowCache } from "./workflow-cache.ts";

/** Intervals and bounds of the engine; tests run them shorter. */
export type EngineSettings = {
  /** Lanes of a server: each is one batch in flight, so more of them only means smaller batches. */
  lanes: number;
  /** How often the server renews its lease and looks around. */
  lookAroundMs: number;
  /** A server whose lease was not renewed for this long, as this server saw it, is taken over. */
  leaseMs: number;
  /** How often mail and events that nobody looked after are searched. */
  strayMs: number;
  /** How often an idle stream says that it is alive. */
  heartbeatMs: number;
  /** How often watchers look for themselves while other servers are there, in case a notice was lost. */
  pollMs: number;
  /** Items waiting in the lanes above which new runs are refused; above twice as many, events too. The rest keeps its room. */
  pendingMax: number;
};

export const SETTINGS_DEFAULT: EngineSettings = {
  lanes: 4,
  lookAroundMs: 2_000,
  leaseMs: 10_000,
  strayMs: 10_000,
  heartbeatMs: 10_000,
  pollMs: 2_000,
  pendingMax: 20_000,
};

export type EngineContext = {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: EngineSettings;
  readonly workflows: WorkflowCache;
  readonly hub: NoticeHub;
  readonly runs: RunTable;
  /** Reads a run in a batch with others. */
  readonly loadRun: (key: RunKey) => Promise<StoredRun | undefined>;
  readonly loadMail: (key: RunKey) => Promise<Mail[]>;
  readonly lookUpEvent: (query: EventQuery) => Promise<EventLookup>;
  readonly readChannel: (channel: Channel) => Promise<number>;
  /** The lane that a run belongs to. @throws {DomainError} SHUTTING_DOWN, DATABASE_UNAVAILABLE while there is none */
  laneOf(key: RunKey): Lane;
  /** Whether a lane is one of this server's that are open. */
  isOwnLane(laneId: number): boolean;
  readonly admission: Admission;
  /** Items waiting in all lanes. */
  pending(): number;
  /** Whether other servers use the database. */
  hasOthers(): boolean;
  isStopping(): boolean;
  /** Goes on computing a run in the background. */
  advance(key: RunKey): void;
  /** Acts in the background on mail that the run may have. */
  deliverMail(key: RunKey): void;
  /** Wakes the listeners of a channel; gives how many runs took `eventId`. Never rejects. */
  wakeListeners(channel: Channel, eventId: string): Promise<number>;
  /** Wakes the listeners of a channel in the background. */
  wakeListenersSoon(channel: Channel): void;
  /** Notes that something is due at a time. */
  armTimer(wakeTime: Instant): void;
  /** Tells other servers that a run changed. */
  tellOthers(news: { run?: RunKey; mail?: RunKey }): void;
};

/** What a caller sees of a run. */
export function viewOf(run: StoredRun, view: "basic" | "full" = "full"): RunView {
  const blockedReason = blockedReasonOf(run.state);
  const { output: _output, ...rest } = run.state;
  return {
    state: view === "full" ? run.state : { ...rest, vars: null },
    view,
    ...(blockedReason === undefined ? {} : { blockedReason }),
  };
}

/** Why a running run does not move. Until workers exist, nothing that needs one does. */
function blockedReasonOf(run: RunState): BlockedReason | undefined {
  return run.status === "running" && run.calls.length > 0 ? "no_worker" : undefined;
}
