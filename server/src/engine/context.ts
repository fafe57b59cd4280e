/** What the operations of the engine share. Made once by `createEngine`; operations are plain functions over it. */
import type { Logger } from "pino";
import type { Channel, EventLookup, EventQuery } from "../core/event.ts";
import type { Instant } from "../core/duration.ts";
import type { ChannelProgress } from "../store/contract/events.ts";
import type { Mail } from "../store/contract/mail.ts";
import type { RunKey, StoredRun } from "../store/contract/runs.ts";
import type { Store } from "../store/contract/store.ts";
import type { RunView } from "./api.ts";
import type { Admission } from "./admission.ts";
import type { Clock } from "./clock.ts";
import type { Lane } from "./lanes/lane.ts";
import type { NoticeHub } from "./notice-hub.ts";
import type { RunTable } from "./run-table.ts";
import type { Workers } from "./workers/workers.ts";
import type { WorkflowCache } from "./workflow-cache.ts";

/** Intervals and bounds of the engine; tests run them shorter. */
export type EngineSettings = {
  /** Lanes of a server: each is one batch in flight. With two the server works for one while the other is being committed; more
   *  only mean smaller batches, and half of what a small batch costs is the batch. */
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
  /** How often a worker is asked whether it is there; after how long without a word it is not. */
  pingMs: number;
  silenceMs: number;
  /** How long an offered job may stay without being accepted. */
  acceptMs: number;
  /** How long a worker whose connection broke keeps its jobs, and one whose server is gone. */
  reconnectMs: number;
  orphanMs: number;
  /** How long a handler waits for a worker here before it becomes a job that others may take. */
  handlerParkMs: number;
  /** Leases that a job may lose before it fails. */
  leaseLossesMax: number;
  /** Items waiting in the lanes above which new runs are refused; above twice as many, events too. The rest keeps its room. */
  pendingMax: number;
};

export const SETTINGS_DEFAULT: EngineSettings = {
  lanes: 2,
  lookAroundMs: 2_000,
  leaseMs: 10_000,
  strayMs: 10_000,
  heartbeatMs: 10_000,
  pollMs: 2_000,
  pingMs: 10_000,
  silenceMs: 30_000,
  acceptMs: 5_000,
  reconnectMs: 5_000,
  orphanMs: 35_000,
  handlerParkMs: 100,
  leaseLossesMax: 5,
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
  /** The same without vars and output. */
  readonly loadRunHead: (key: RunKey) => Promise<StoredRun | undefined>;
  readonly loadMail: (key: RunKey) => Promise<Mail[]>;
  readonly lookUpEvent: (query: EventQuery) => Promise<EventLookup>;
  readonly readChannel: (channel: Channel) => Promise<number>;
  readonly readWoken: (channel: Channel) => Promise<ChannelProgress>;
  /** The lane that a run belongs to. @throws {DomainError} SHUTTING_DOWN, DATABASE_UNAVAILABLE while there is none */
  laneOf(key: RunKey): Lane;
  /** Whether a lane is one of this server's that are open. */
  isOwnLane(laneId: number): boolean;
  readonly workers: Workers;
  readonly admission: Admission;
  /** Items waiting in all lanes. */
  pending(): number;
  /** Whether other servers use the database. */
  hasOthers(): boolean;
  /** The newest format of runs that every server knows. */
  formatMax(): number;
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
  /** Tells other servers that a run changed, has mail, or that something waits in a queue of jobs. */
  tellOthers(news: { run?: RunKey; mail?: RunKey; jobs?: string }): void;
};

/** What a caller sees of a run. */
export function viewOf(context: EngineContext, run: StoredRun, view: "basic" | "full" = "full"): RunView {
  const blockedReason = context.workers.blockedReason(run.state);
  const { output: _output, ...rest } = run.state;
  return {
    state: view === "full" ? run.state : { ...rest, vars: null },
    view,
    ...(blockedReason === undefined ? {} : { blockedReason }),
  };
}
