/** The most requests in one batched read of small rows; the rest wait for the next batch. */
const BATCH_MAX = 500;

/**
 * Combines single reads into batches. While one batch is being read, the next one collects requests: an idle server
 * adds no delay, and a busy one sends few statements. A request never joins a batch that has already been sent, so it
 * sees everything that was committed before the request.
 */
export function createBatcher<K, V>(
  readMany: (keys: readonly K[]) => Promise<readonly V[]>,
  batchMax = BATCH_MAX,
): (key: K) => Promise<V> {
  type Waiting = { key: K; resolve: (value: V) => void; reject: (error: unknown) => void };
  const gathered: Waiting[] = [];
  let reading = false;

  async function readGathered(): Promise<void> {
    reading = true;
    while (gathered.length > 0) {
      const batch = gathered.splice(0, batchMax);
      try {
        const values = await readMany(batch.map((waiting) => waiting.key));
        for (const [index, waiting] of batch.entries()) waiting.resolve(values[index]!);
      } catch (error) {
        for (const waiting of batch) waiting.reject(error);
      }
    }
    reading = false;
  }

  return (key) =>
    new Promise<V>((resolve, reject) => {
      gathered.push({ key, resolve, reject });
      if (!reading) {
        reading = true;
        queueMicrotask(() => void readGathered());
      }
    });
}
