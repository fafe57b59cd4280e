/** Notices between servers: delivered at once, but never within the caller's turn, as if from another process. */
import assert from "node:assert/strict";
import type { NoticeStore } from "../contract/notices.ts";
import type { Statements } from "../map-verbs.ts";
import type { MemoryDatabase } from "./database.ts";

/** NOTIFY takes less than 8,000 bytes. */
const PAYLOAD_BYTES_MAX = 7_000;

function notify(database: MemoryDatabase, payload: string): void {
  assert(Buffer.byteLength(payload) <= PAYLOAD_BYTES_MAX, `a notice has at most ${PAYLOAD_BYTES_MAX} bytes`);
  for (const listener of database.listeners) {
    queueMicrotask(() => {
      if (database.listeners.has(listener) && !database.faults.away) listener(payload);
    });
  }
}

/** Returns the function that stops listening. */
function listen(database: MemoryDatabase, onPayload: (payload: string) => void): () => void {
  // A separate function, so that one callback may listen twice.
  const listener = (payload: string): void => onPayload(payload);
  database.listeners.add(listener);
  return () => {
    database.listeners.delete(listener);
  };
}

type Listening = {
  database: MemoryDatabase;
  /** The functions that stop the listeners of one store, to be called when it is closed. */
  stops: Set<() => void>;
};

export const notices: Statements<Listening, NoticeStore> = {
  send: ({ database }, payload) => notify(database, payload),
  listen: ({ database, stops }, onPayload) => {
    const stop = listen(database, onPayload);
    stops.add(stop);
    return async () => {
      stops.delete(stop);
      stop();
    };
  },
};
