/** Requests of one batched read of small rows; more wait for the next. */
const BATCH_MAX = 500;

/**
 * Turns single reads into batched ones: while one batch is being read the next gathers, so that an idle server adds no
 * delay and a busy one asks rarely. A read never shares a batch that was asked before it, so it sees what was committed
 * before it began.
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
