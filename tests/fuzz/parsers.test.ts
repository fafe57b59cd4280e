/** Parsers of the server and of the command line under text that nobody would write: tests/support/fuzz.ts. */
import { expect, test } from "vitest";

import { fuzz, fuzzOptions } from "../support/fuzz.ts";
import type { FuzzName } from "../support/fuzz-names.ts";
import { PARSER_TARGETS } from "./parser-targets.ts";

/** Inputs of each target in `npm test`, about half a second of work. */
const INPUTS: Partial<Record<FuzzName, number>> = {
  json: 10_000,
  expression: 4_000,
  template: 3_000,
  graph: 150,
  token: 6_000,
  pointer: 6_000,
  time: 1_500,
};
/** How much larger the heap may be at the end: what the engine compiles in the meantime, and no more. */
const HEAP_ROOM_BYTES = 8 * 1024 * 1024;

for (const target of PARSER_TARGETS) {
  const options = fuzzOptions(INPUTS[target.name]!);
  test(`fuzz ${target.name}`, { timeout: (options.seconds ?? 0) * 1_000 + 120_000 }, async () => {
    const { inputs, heapBytes } = await fuzz(target, options);
    expect(inputs).toBeGreaterThan(0);
    expect(heapBytes.after).toBeLessThan(heapBytes.before * 1.1 + HEAP_ROOM_BYTES);
    if (process.env["FUZZ_SEED"] !== undefined) {
      const mib = (bytes: number): string => (bytes / 1024 ** 2).toFixed(1);
      console.log(
        `${target.name}: ${inputs} inputs from seed ${options.seed}; ` +
          `heap ${mib(heapBytes.before)} MiB, then ${mib(heapBytes.after)} MiB`,
      );
    }
  });
}
