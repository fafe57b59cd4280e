/** What servers tell each other. */

export interface NoticeStore {
  /** Tells the other servers something small; may be lost. At most 7,000 bytes. */
  send(payload: string): Promise<void>;
  /** Calls back with what other servers (and this one) say, until the returned function is called. */
  listen(onPayload: (payload: string) => void): Promise<() => Promise<void>>;
}
