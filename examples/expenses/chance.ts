import { createHash } from "node:crypto";

/** Reproducible randomness: a number in [0, 1) that depends only on the seed and the purpose, not on the order of
 *  events. */
export type Chance = (...what: (string | number)[]) => number;

export function createChance(seed: string): Chance {
  return (...what) =>
    createHash("sha256")
      .update(JSON.stringify([seed, ...what]))
      .digest()
      .readUInt32BE(0) /
    2 ** 32;
}
