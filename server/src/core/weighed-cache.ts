/**
 * A cache of derived values with a bound on their weight in bytes. What was used least recently is dropped first.
 * Dropping costs time only: every value can be derived again from its key's facts.
 */
export type WeighedCache<V> = {
  /** Returns the value and counts as a use of it. */
  get(key: string): V | undefined;
  /** Keeps a value, unless it alone weighs more than the whole cache. */
  put(key: string, value: V, weight: number): void;
  /** The weight of everything that is kept now. */
  weight(): number;
};

/** @param weightMax the bound, in estimated bytes */
export function createWeighedCache<V>(weightMax: number): WeighedCache<V> {
  /** In the order of use, the least recent one first. */
  const entries = new Map<string, { value: V; weight: number }>();
  let total = 0;

  const remove = (key: string): void => {
    const entry = entries.get(key);
    if (entry === undefined) return;
    entries.delete(key);
    total -= entry.weight;
  };

  return {
    get(key) {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      entries.delete(key);
      entries.set(key, entry);
      return entry.value;
    },
    put(key, value, weight) {
      remove(key);
      if (weight > weightMax) return;
      entries.set(key, { value, weight });
      total += weight;
      for (const oldest of entries.keys()) {
        if (total <= weightMax) return;
        remove(oldest);
      }
    },
    weight: () => total,
  };
}

/**
 * Returns a way to a value that is kept elsewhere, such as in a cache: it is found once, and found again only after it
 * was dropped there and freed.
 */
export function weakly<V extends object>(find: () => V): () => V {
  let known: WeakRef<V> | undefined;
  return () => {
    const value = known?.deref();
    if (value !== undefined) return value;
    const found = find();
    known = new WeakRef(found);
    return found;
  };
}
