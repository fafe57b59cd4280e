import { describe, expect, it } from "vitest";
import { createHold } from "./hold.ts";

function holdAt(start = 0) {
  let at = start;
  const hold = createHold(() => at);
  return { hold, pass: (ms: number) => (at += ms) };
}

describe("how long a request may wait", () => {
  it("is below the limit at which one was cut, down to half a second", () => {
    const { hold } = holdAt();
    expect(hold.ms).toBe(25_000);
    hold.noteCut(15_000);
    expect(hold.ms).toBe(10_500);
    hold.noteCut(7_000);
    expect(hold.ms).toBe(4_900);
    // Cut later than it should have waited: the answer did not come at all.
    hold.noteCut(60_000);
    expect(hold.ms).toBeCloseTo(3_430);
    hold.noteCut(500);
    expect(hold.ms).toBe(500);
  });

  it("does not change when a connection breaks at once, such as at a restart", () => {
    const { hold } = holdAt();
    hold.noteCut(499);
    expect(hold.ms).toBe(25_000);
  });

  it("grows again after a minute in which nothing was cut, if requests wait that long", () => {
    const { hold, pass } = holdAt();
    hold.noteCut(10_000);
    pass(59_000);
    hold.noteWhole(7_000);
    expect(hold.ms).toBe(7_000);
    pass(1_000);
    // A request that was to wait for less shows nothing.
    hold.noteWhole(6_000);
    expect(hold.ms).toBe(7_000);
    hold.noteWhole(7_000);
    expect(hold.ms).toBe(10_500);
    for (let times = 0; times < 5; times++) {
      pass(60_000);
      hold.noteWhole(hold.ms);
    }
    expect(hold.ms).toBe(25_000);
  });
});
