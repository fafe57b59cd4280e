/** Random numbers from a seed (mulberry32), so that the kills and choices of a failing run can be repeated. */
export type Chance = {
  /** A number in [0, 1). */
  next(): number;
  /** A whole number, both bounds included. */
  between(least: number, most: number): number;
  /** Whether something of this probability happens. */
  happens(probability: number): boolean;
  pick<T>(choices: readonly T[]): T;
  /** A separate stream: numbers drawn from it do not change those drawn here. */
  fork(): Chance;
};

export function createChance(seed: number): Chance {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (least: number, most: number): number => least + Math.floor(next() * (most - least + 1));
  return {
    next,
    between,
    happens: (probability) => next() < probability,
    pick: (choices) => choices[between(0, choices.length - 1)]!,
    fork: () => createChance(between(0, 2 ** 32 - 1)),
  };
}
