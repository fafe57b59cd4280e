import { pino } from "pino";
import { beforeEach, describe, expect, test } from "vitest";
import { createHealth, type Health } from "./health.ts";

const MINUTE_MS = 60_000;

let lines: Record<string, unknown>[];
let nowMs: number;
let health: Health;

beforeEach(() => {
  lines = [];
  nowMs = 0;
  const log = pino(
    { base: null, timestamp: false },
    { write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[number]) },
  );
  health = createHealth(log, () => nowMs);
});

const full = (fields?: object) => health.report("database_full", "no room", { code: "53100", ...fields });

describe("a problem is logged", () => {
  test("once when it begins, and once when it is over, with how long it took", () => {
    full({ database: "host:5432/db" });
    nowMs = 2_000;
    full();
    nowMs = 20_000;
    health.clear("database_full");
    health.clear("database_full");
    expect(lines).toEqual([
      { level: 40, problem: "database_full", code: "53100", database: "host:5432/db", msg: "no room" },
      { level: 30, problem: "database_full", reports: 2, afterMs: 20_000, msg: "the database has room again" },
    ]);
  });

  test("once a minute while it stays, however often it is met", () => {
    for (; nowMs < 3 * MINUTE_MS; nowMs += 100) full();
    expect(lines.map(({ msg, reports }) => [msg, reports])).toEqual([
      ["no room", undefined],
      ["still: no room", 601],
      ["still: no room", 1_201],
    ]);
  });

  test("five times a minute if it comes and goes, each time with its end", () => {
    for (; nowMs < 2 * MINUTE_MS; nowMs += 1_000) {
      full();
      health.clear("database_full");
    }
    const oneMinute = Array.from({ length: 5 }, () => ["no room", "the database has room again"]).flat();
    expect(lines.map(({ msg }) => msg)).toEqual([...oneMinute, ...oneMinute]);
  });
});

describe("a server", () => {
  test("can serve unless a problem is in the way, and says so with each change", () => {
    const changes: boolean[] = [];
    const stop = health.onChange(() => changes.push(health.canServe()));
    health.report("clock_stepped", "the clock has jumped");
    full();
    health.report("lease_lost", "the lease is lost");
    expect(health.problems().map(({ kind, message }) => [kind, message])).toEqual([
      ["clock_stepped", "the clock has jumped"],
      ["database_full", "no room"],
      ["lease_lost", "the lease is lost"],
    ]);
    health.clear("lease_lost");
    health.clear("database_full");
    expect(health.has("clock_stepped")).toBe(true);
    stop();
    full();
    expect(changes).toEqual([false, true]);
  });
});
