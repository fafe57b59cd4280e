/** The lifetime of server streams: a stream ends with its call, and its errors reach the client. */

/** Yields the items of `source` until `signal` aborts. Then it throws the reason and releases the source, whether or
 *  not the source heeds the signal. If the source ends after the abort, the abort counts as the cause. */
export async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const result = await nextUnlessAborted(iterator, signal);
      signal.throwIfAborted();
      if (result.done === true) return;
      yield result.value;
    }
  } finally {
    // Not awaited, and failures are ignored: the call is over, and a source that hangs in `next` would also hang in
    // `return`.
    iterator.return?.().catch(() => undefined);
  }
}

/** Not Promise.race with one promise per stream: each race would leave a reaction on that promise until the stream
 *  ends. */
function nextUnlessAborted<T>(iterator: AsyncIterator<T>, signal: AbortSignal): Promise<IteratorResult<T>> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    const stopListening = () => signal.removeEventListener("abort", onAbort);
    iterator.next().then(
      (result) => {
        stopListening();
        resolve(result);
      },
      (error: Error) => {
        stopListening();
        reject(error);
      },
    );
  });
}

/** Yields the same items, and passes errors of the source through `map`. */
export async function* mapErrors<T>(source: AsyncIterable<T>, map: (error: unknown) => Error): AsyncGenerator<T> {
  try {
    yield* source;
  } catch (error) {
    throw map(error);
  }
}
