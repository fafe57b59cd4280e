/** Random numbers that replay: the same seed gives the same numbers. */
export type Random = {
  /** A number in [0, 1). */
  next(): number;
  /** A whole number from 0 to `end` - 1. */
  below(end: number): number;
  /** True in this percentage of the cases. */
  percent(often: number): boolean;
  pick<T>(from: readonly T[]): T;
};

/** Mulberry32 (https://gist.github.com/tommyettinger/46a874533244883189143505d203312c). */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (end: number): number => Math.floor(next() * end);
  return { next, below, percent: (often) => next() * 100 < often, pick: (from) => from[below(from.length)]! };
}
