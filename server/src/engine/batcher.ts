/** How a batcher reads besides its function. */
type BatcherOptions<K> = {
  /** The most keys of one batch. */
  batchMax?: number;
  /** Names a key: requests with equal names in one batch are read once, and get the same value. */
  nameOf?: (key: K) => string;
};

/** The most requests in one batched read of small rows; the rest wait for the next batch. */
const BATCH_MAX = 500;

/**
 * Combines single reads into batches. While one batch is being read, the next one collects requests: an idle server
 * adds no delay, and a busy one sends few statements. A request never joins a batch that has already been sent, so it
 * sees everything that was committed before the request.
 */
export function createBatcher<K, V>(
  readMany: (keys: readonly K[]) => Promise<readonly V[]>,
  { batchMax = BATCH_MAX, nameOf }: BatcherOptions<K> = {},
): (key: K) => Promise<V> {
  type Request = { resolve: (value: V) => void; reject: (error: unknown) => void };
  type Waiting = { key: K; requests: Request[] };
  const gathered: Waiting[] = [];
  /** What is gathered, by name. */
  const named = new Map<string, Waiting>();
  let reading = false;

  async function readGathered(): Promise<void> {
    reading = true;
    while (gathered.length > 0) {
      const batch = gathered.splice(0, batchMax);
      if (nameOf !== undefined) for (const { key } of batch) named.delete(nameOf(key));
      try {
        const values = await readMany(batch.map((waiting) => waiting.key));
        for (const [index, { requests }] of batch.entries()) {
          for (const { resolve } of requests) resolve(values[index]!);
        }
      } catch (error) {
        for (const { requests } of batch) for (const { reject } of requests) reject(error);
      }
    }
    reading = false;
  }

  return (key) =>
    new Promise<V>((resolve, reject) => {
      const request = { resolve, reject };
      const name = nameOf?.(key);
      const same = name === undefined ? undefined : named.get(name);
      if (same !== undefined) return void same.requests.push(request);
      const waiting = { key, requests: [request] };
      gathered.push(waiting);
      if (name !== undefined) named.set(name, waiting);
      if (!reading) {
        reading = true;
        queueMicrotask(() => void readGathered());
      }
    });
}
