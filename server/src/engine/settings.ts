/** Intervals and bounds of the engine; tests run them shorter. */
export type EngineSettings = {
  /**
   * Lanes of a server: each is one batch in flight. With two the server works for one while the other is being
   * committed; more only mean smaller batches, and half of what a small batch costs is the batch.
   */
  lanes: number;
  /** How often the server renews its lease, and sees what others left. */
  renewMs: number;
  /** A server whose lease was not renewed for this long, as this server saw it, is taken over. */
  leaseMs: number;
  /** How often to sweep for unprocessed mail and events. */
  strayMs: number;
  /** How often an idle stream says that it is alive. */
  heartbeatMs: number;
  /** How often watchers read for themselves while other servers are there, in case a notice was lost. */
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
  /**
   * Items waiting in the lanes above which new runs are refused; above twice as many, events too. The rest keeps its
   * room.
   */
  pendingMax: number;
};

export const SETTINGS_DEFAULT: EngineSettings = {
  lanes: 2,
  renewMs: 2_000,
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
