/** The life of server streams: they end with the call, and what they throw is told to the client. */

/** The items of `source` until `signal` aborts; then it throws the reason and lets go of the source, whether or not the
 *  source heeds the signal. An end that comes after the abort is taken for the abort's doing. */
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
    // Not awaited: a source that hangs in `next` would hang in `return`, and the call is over. Its failure is nobody's.
    iterator.return?.().catch(() => undefined);
  }
}

/** Not Promise.race against one promise per stream: each race would leave its reaction there until the stream ends. */
function nextUnlessAborted<T>(iterator: AsyncIterator<T>, signal: AbortSignal): Promise<IteratorResult<T>> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    const settle = () => signal.removeEventListener("abort", onAbort);
    iterator.next().then(
      (result) => {
        settle();
        resolve(result);
      },
      (error: Error) => {
        settle();
        reject(error);
      },
    );
  });
}

/** The same items; what the source throws goes through `map` first. */
export async function* mapErrors<T>(source: AsyncIterable<T>, map: (error: unknown) => Error): AsyncGenerator<T> {
  try {
    yield* source;
  } catch (error) {
    throw map(error);
  }
}
