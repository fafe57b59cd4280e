import { describe, expect, test } from "vitest";

import { fuzz, type FuzzTarget, mutate } from "./fuzz.ts";

const target = (check: FuzzTarget<number>["check"]): FuzzTarget<number> => ({
  name: "json",
  draw: (random) => random.below(1_000),
  check,
});

describe("the fuzzer", () => {
  test("names the seed of an input that fails, which fails again alone", async () => {
    const failing = target((input) => {
      if (input === 7) throw new Error("seven");
    });
    const failure = await fuzz(failing, { seed: 1, inputs: 100_000 }).then(
      () => "nothing failed",
      (error: Error) => error.message,
    );
    expect(failure).toMatch(/^json: the input of seed \d+ fails; npm run fuzz[^]*input: 7\n[^]*seven/);
    const seed = Number(/seed (\d+)/.exec(failure)![1]);
    await expect(fuzz(failing, { seed, inputs: 1 })).rejects.toThrow("seven");
  });

  test("ends an input that does not end, and names its seed", async () => {
    const endless = target((input) => {
      while (input === 7);
    });
    await expect(fuzz(endless, { seed: 1, inputs: 100_000, inputMsMax: 100 })).rejects.toThrow(/seed \d+[^]*timed out/);
  });

  test("waits for each input of a target that takes time", async () => {
    let open = 0;
    const seen: number[] = [];
    const slow = target(async (input) => {
      expect(++open).toBe(1);
      await Promise.resolve();
      open -= 1;
      seen.push(input);
      if (seen.length === 70) throw new Error("the last");
    });
    await expect(fuzz(slow, { seed: 5, inputs: 100 })).rejects.toThrow("seed 74");
  });

  test("draws the same inputs from the same seed, and shows memory that is kept", async () => {
    const corpus = { corpus: ["abc", '{"a":1}'], pieces: ["x", "y"] };
    const draw = async (seed: number): Promise<string[]> => {
      const inputs: string[] = [];
      const collecting: FuzzTarget<string> = {
        name: "json",
        draw: (random) => mutate(random, corpus),
        check: (input) => void inputs.push(input),
      };
      await fuzz(collecting, { seed, inputs: 200 });
      return inputs;
    };
    expect(await draw(3)).toEqual(await draw(3));
    expect(new Set(await draw(4)).size).toBeGreaterThan(100);

    const kept: number[][] = [];
    const { heapBytes } = await fuzz(
      target((input) => void kept.push(Array.from({ length: 2_000 }, () => input + 0.5))),
      { seed: 1, inputs: 2_000 },
    );
    expect(heapBytes.after - heapBytes.before).toBeGreaterThan(16 * 1024 * 1024);
  });
});
