/** The result of `watch()`: a feed that lasts until its reader leaves. */
import { asyncDispose } from "./dispose.ts";
import { ConnectionError } from "./errors.ts";

/** Items as they happen, for one reader. The watch ends when the reader leaves the loop, when the signal aborts (with
 *  its reason), and when the client is closed (without an error). After a broken connection it continues where it
 *  stopped, without limit: no item is skipped, and no item comes twice. */
export interface Watch<Item> extends AsyncIterable<Item>, AsyncDisposable {
  /** Opens the feed now instead of with the first item, and resolves when the server has opened it, however long no
   *  server can be reached; the watch's signal ends that. The watch includes everything that happens after that.
   *  @throws {RefusedError} the same error as the reader gets */
  opened(): Promise<void>;
}

export type WatchSource<Item> = (signal: AbortSignal, onOpen: () => void) => AsyncGenerator<Item>;

export function createWatch<Item>(
  source: WatchSource<Item>,
  options: { signal?: AbortSignal | undefined; isClosed: () => boolean },
): Watch<Item> {
  const leaving = new AbortController();
  const { signal, isClosed } = options;
  const onAbort = (): void => leaving.abort(signal?.reason);
  if (signal?.aborted === true) onAbort();
  signal?.addEventListener("abort", onAbort, { once: true });
  let markOpen!: () => void;
  const open = new Promise<void>((resolve) => {
    markOpen = resolve;
  });
  const items = quietAtClose(source(leaving.signal, markOpen), isClosed);
  let first: Promise<IteratorResult<Item>> | undefined;
  const next = (): Promise<IteratorResult<Item>> => {
    const prepared = first;
    first = undefined;
    return prepared ?? items.next();
  };
  const end = async (): Promise<IteratorResult<Item>> => {
    signal?.removeEventListener("abort", onAbort);
    // A reader that has left gets no error.
    leaving.abort();
    await items.return(undefined).catch(() => undefined);
    return { done: true, value: undefined };
  };
  return {
    async opened() {
      if (first === undefined) {
        first = items.next();
        // The reader gets the error; without a reader, nobody does.
        first.catch(() => undefined);
      }
      // Resolves with the server's first message or the first item; rejects if opening fails.
      await Promise.race([open, first]);
    },
    [Symbol.asyncIterator]: () => ({ next, return: end }),
    async [asyncDispose]() {
      await end();
    },
  };
}

/** Ends without an error if the client is closed. */
async function* quietAtClose<Item>(items: AsyncGenerator<Item>, isClosed: () => boolean): AsyncGenerator<Item> {
  try {
    yield* items;
  } catch (error) {
    if (!(error instanceof ConnectionError && isClosed())) throw error;
  }
}
