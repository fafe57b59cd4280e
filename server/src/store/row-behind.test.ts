import { describe, expect, it } from "vitest";
import { addMs } from "../core/duration.ts";
import type { StoredRun } from "./contract/runs.ts";
import { rowSeqOf, stayBehind } from "./row-behind.ts";
import { startOf, stepOf, TIME_ZERO } from "./suite/fixtures.ts";

const start = startOf({ tenantId: "tenant", runId: "run-1", vars: { n: 0 } }, { ownerLane: 1 }).after;

/** Makes one more step, `ms` after the start, with a record of about `chars` characters. */
function step(before: StoredRun, ms: number, chars = 0): StoredRun {
  const body = { status: "completed" as const, patch: [{ op: "set" as const, path: "/n", value: "x".repeat(chars) }] };
  const { after, records } = stepOf(before, "step.completed", body, { time: addMs(TIME_ZERO, ms) });
  const behind = stayBehind(before, after.state, records);
  return { ...after, ...(behind === undefined ? {} : { behind }) };
}

describe("stayBehind", () => {
  it("leaves a row behind for up to 64 steps", () => {
    let run = start;
    for (let count = 0; count < 64; count++) run = step(run, count);
    expect(run.behind).toMatchObject({ seq: 1, vars: { n: 0 }, updateTime: TIME_ZERO });
    run = step(run, 65);
    expect(run.behind).toBeUndefined();
    expect(rowSeqOf(run)).toBe(66);
  });

  it("leaves a row behind for less than a second", () => {
    const run = step(start, 999);
    expect(run.behind).toBeDefined();
    expect(step(run, 999).behind?.seq).toBe(1);
    expect(step(run, 1_000).behind).toBeUndefined();
    expect(step(start, 1_000).behind).toBeUndefined();
  });

  it("leaves a row behind for up to 256 KiB of records", () => {
    const run = step(start, 1, 200 * 1024);
    expect(run.behind?.chars).toBeGreaterThan(200 * 1024);
    expect(step(run, 2, 50 * 1024).behind).toBeDefined();
    expect(step(run, 2, 60 * 1024).behind).toBeUndefined();
    expect(step(start, 1, 257 * 1024).behind).toBeUndefined();
  });
});
