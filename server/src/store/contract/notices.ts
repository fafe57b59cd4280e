/** Notices between servers. */

export interface NoticeStore {
  /** Sends a small notice to the other servers. It may be lost. At most 7,000 bytes. */
  send(payload: string): Promise<void>;
  /**
   * Calls `onPayload` with each notice, this server's own included, until the returned function is called. Calls
   * `onLost` once if it ends by itself: notices may have been missed, so listen again.
   */
  listen(onPayload: (payload: string) => void, onLost?: () => void): Promise<() => Promise<void>>;
}
