import { describe, expect, test } from "vitest";
import { instantFromEpochMicros } from "../core/duration.ts";
import { type ClockStep, createClock } from "./clock.ts";

const SECOND = 1_000_000;
const YEAR = 365 * 86_400 * SECOND;
const DATABASE_MICROS = 1_800_000_000 * SECOND;

/** A clock of a server, and the clocks around it in microseconds. */
function createClocks() {
  const at = { steady: 0, day: 0, database: DATABASE_MICROS };
  const steps: ClockStep[] = [];
  const clock = createClock({ steadyMicros: () => at.steady, dayMicros: () => at.day }, (step) => steps.push(step));
  const pass = (micros: number): void => {
    at.steady += micros;
    at.day += micros;
    at.database += micros;
  };
  /** Asks the database, which answers halfway through this time. */
  const read = (tookMicros = 0) =>
    clock.reading(async () => {
      pass(tookMicros / 2);
      const now = instantFromEpochMicros(at.database);
      pass(tookMicros / 2);
      return { now };
    });
  return { at, steps, clock, pass, read };
}

describe.each([
  ["5 s forward", 5 * SECOND],
  ["5 s back", -5 * SECOND],
  ["3 years forward", 3 * YEAR],
  ["3 years back", -3 * YEAR],
])("a clock that is set %s", (_said, micros) => {
  test("the database's: the next reading follows it, and reports it once", async () => {
    const { at, steps, clock, pass, read } = createClocks();
    await read();
    at.database += micros;
    pass(2 * SECOND);
    await read();
    await read();
    expect(clock.nowMicros()).toBe(at.database);
    expect(steps).toEqual([{ clock: "database", stepMs: micros / 1000 }]);
  });

  test("the server's: the time stays the database's, and it is reported once", async () => {
    const { at, steps, clock, pass, read } = createClocks();
    await read();
    at.day += micros;
    pass(2 * SECOND);
    await read();
    await read();
    expect(clock.nowMicros()).toBe(at.database);
    expect(steps).toEqual([{ clock: "server", stepMs: micros / 1000 }]);
  });
});

test("late answers are no steps, and after a claim the clock is not behind it", async () => {
  const { at, steps, clock, pass, read } = createClocks();
  await read(3 * SECOND);
  await read();
  expect(clock.nowMicros()).toBe(at.database);
  await read(10 * SECOND);
  expect(clock.nowMicros()).toBe(at.database);
  pass(SECOND);
  expect(clock.nowMicros()).toBe(at.database);
  expect(steps).toEqual([]);
});

test("an answer from before a step does not undo it", async () => {
  const { at, steps, clock, read } = createClocks();
  await read();
  const answered = Promise.withResolvers<{ now: ReturnType<typeof instantFromEpochMicros> }>();
  const earlier = clock.reading(() => answered.promise);
  const before = instantFromEpochMicros(at.database);
  at.database -= YEAR;
  at.steady += 1;
  await read();
  answered.resolve({ now: before });
  await earlier;
  await read();
  expect(steps).toHaveLength(1);
});
