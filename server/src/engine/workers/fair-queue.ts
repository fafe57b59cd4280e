/** A queue that serves its keys in turn. Items of one key keep their order. */
export type FairQueue<T> = {
  readonly size: number;
  push(key: string, item: T): void;
  /** Takes the first item that matches, of the first key in turn that has one. That key then comes last. */
  take(matches: (item: T) => boolean): T | undefined;
  remove(key: string, item: T): boolean;
};

export function createFairQueue<T>(): FairQueue<T> {
  // In the order of their turns: a key that was served moves to the end.
  const byKey = new Map<string, T[]>();
  let size = 0;

  function drop(key: string, items: T[], index: number): void {
    items.splice(index, 1);
    size -= 1;
    byKey.delete(key);
    if (items.length > 0) byKey.set(key, items);
  }

  return {
    get size() {
      return size;
    },
    push(key, item) {
      const items = byKey.get(key);
      if (items === undefined) byKey.set(key, [item]);
      else items.push(item);
      size += 1;
    },
    take(matches) {
      for (const [key, items] of byKey) {
        const index = items.findIndex(matches);
        if (index === -1) continue;
        const item = items[index];
        drop(key, items, index);
        return item;
      }
      return undefined;
    },
    remove(key, item) {
      const items = byKey.get(key);
      const index = items?.indexOf(item) ?? -1;
      if (items === undefined || index === -1) return false;
      items.splice(index, 1);
      size -= 1;
      if (items.length === 0) byKey.delete(key);
      return true;
    },
  };
}
