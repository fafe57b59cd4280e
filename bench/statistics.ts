/** Statistics of a set of measurements. */

/** @param share from 0 to 1: 0.5 is the median. @throws {Error} if there are no values */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const found = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  if (found === undefined) throw new Error("nothing was measured");
  return found;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}
