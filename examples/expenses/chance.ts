import { createHash } from "node:crypto";

/** Chance that can be repeated: a number from 0 up to 1 that follows from the seed and what it is for, in whatever order
 *  things happen. */
export type Chance = (...what: (string | number)[]) => number;

export function createChance(seed: string): Chance {
  return (...what) =>
    createHash("sha256")
      .update(JSON.stringify([seed, ...what]))
      .digest()
      .readUInt32BE(0) /
    2 ** 32;
}
