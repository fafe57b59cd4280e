/** Intervals and bounds of the engine; tests shorten them. */
export type EngineSettings = {
  /**
   * The number of a server's lanes. Each has one batch in flight. With two, the server works for one lane while the
   * other is being committed. More lanes only mean smaller batches, and half the cost of a small batch is the batch
   * itself.
   */
  lanes: number;
  /** How often the server renews its lease and observes other servers. */
  renewMs: number;
  /** A server that this one has not seen renew its lease for this long is taken over. */
  leaseMs: number;
  /** How often to sweep for unprocessed mail and events. */
  strayMs: number;
  /** How often an idle stream sends a heartbeat. */
  heartbeatMs: number;
  /** How often watchers read again while there are other servers, in case a notice was lost. */
  pollMs: number;
  /** How often a worker is pinged, and how long it may be silent before it counts as gone. */
  pingMs: number;
  silenceMs: number;
  /** How long an offered job may wait for the worker to accept it. */
  acceptMs: number;
  /** How long a worker whose connection broke, or whose server is gone, keeps its jobs. */
  reconnectMs: number;
  orphanMs: number;
  /**
   * How long a handler waits for a worker of this server before it becomes a job that other servers' workers may take.
   */
  handlerParkMs: number;
  /** The number of leases that a job may lose; it fails with the next one. */
  leaseLossesMax: number;
  /** How long an operation may take, apart from what its caller asked to wait for. Then the caller is refused. */
  operationMs: number;
  /**
   * New runs are refused while more items than this wait in the lanes; events are refused above twice as many. The rest
   * of the capacity is for other work.
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
  operationMs: 10_000,
  pendingMax: 20_000,
};
