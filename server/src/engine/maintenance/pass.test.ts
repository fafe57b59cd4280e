import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { StoreUnavailableError } from "../../store/contract/errors.ts";
import { createLoop, createPass } from "./pass.ts";

let lines: { level: number; msg: string }[];
const log = pino({ level: "debug" }, { write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[number]) });

beforeEach(() => {
  lines = [];
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("a request for a pass while one is under way waits for that one", async () => {
  const release: (() => void)[] = [];
  const runOnce = vi.fn(() => new Promise<{ swept: number }>((resolve) => release.push(() => resolve({ swept: 1 }))));
  const pass = createPass("sweeping", log, runOnce);
  const both = Promise.all([pass.run(), pass.run()]);
  release[0]!();
  await both;
  expect(runOnce).toHaveBeenCalledTimes(1);
  const again = pass.run();
  release[1]!();
  await again;
  expect(runOnce).toHaveBeenCalledTimes(2);
});

test("a pass logs what it did, and what failed, but not that the database is away", async () => {
  const outcomes: (() => { swept: number })[] = [
    () => ({ swept: 2 }),
    () => ({ swept: 0 }),
    () => {
      throw new StoreUnavailableError("away");
    },
    () => {
      throw new Error("a bug");
    },
  ];
  const pass = createPass("sweeping", log, async () => outcomes.shift()!());
  for (let passes = 0; passes < 4; passes++) await pass.run();
  expect(lines).toMatchObject([
    { level: 20, swept: 2, msg: "sweeping: done" },
    { level: 50, msg: "sweeping: failed" },
  ]);
});

test("a loop passes again after each pass, the failed ones too, until it is stopped", async () => {
  let passes = 0;
  const pass = createPass("sweeping", log, async () => {
    passes += 1;
    throw new Error("a bug");
  });
  const loop = createLoop(pass, 1_000);
  loop.start(100);
  await vi.advanceTimersByTimeAsync(99);
  expect(passes).toBe(0);
  await vi.advanceTimersByTimeAsync(2_001);
  expect(passes).toBe(3);
  loop.stop();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(passes).toBe(3);
});
