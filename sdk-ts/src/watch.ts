/** What `watch()` gives: a feed that lasts until its reader leaves. */
import { asyncDispose } from "./dispose.ts";
import { ConnectionError } from "./errors.ts";

/** Items as they happen. It is read once, by one reader; leaving the loop ends it, and so do the signal (with its reason) and the client's
 *  close (without an error). Broken connections are opened again where they broke, for ever: nothing is skipped, nothing comes twice. */
export interface Watch<Item> extends AsyncIterable<Item>, AsyncDisposable {
  /** Opens the feed now, not with the first item that is asked for, and resolves when the server has it: what happens from then on is
   *  seen.
   *  @throws {RefusedError} as the reader would be told */
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
    // A reader that left wants to hear nothing more, not even that.
    leaving.abort();
    await items.return(undefined).catch(() => undefined);
    return { done: true, value: undefined };
  };
  return {
    async opened() {
      if (first === undefined) {
        first = items.next();
        // The reader is told; if there is none, nobody is.
        first.catch(() => undefined);
      }
      // Resolves with the first item, or with the server's first sign of life; rejects if there is neither.
      await Promise.race([open, first]);
    },
    [Symbol.asyncIterator]: () => ({ next, return: end }),
    async [asyncDispose]() {
      await end();
    },
  };
}

/** A watch ends with its client, without an error. */
async function* quietAtClose<Item>(items: AsyncGenerator<Item>, isClosed: () => boolean): AsyncGenerator<Item> {
  try {
    yield* items;
  } catch (error) {
    if (!(error instanceof ConnectionError && isClosed())) throw error;
  }
}
