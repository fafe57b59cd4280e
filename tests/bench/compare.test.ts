/**
 * The comparison writes the right text in the right place. The packages that it measures are not needed: they are
 * installed for it alone.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { compareAll, type Comparison } from "../../bench/compare/compare.ts";
import type { Measured } from "../../bench/compare/measurement.ts";
import type { World } from "../../bench/world.ts";
import { CONTENDERS } from "../../bench/compare/contenders.ts";
import { toJson, toResults, toSummary, toText } from "../../bench/compare/report.ts";
import { assertDurable } from "../../bench/compare/restate-server.ts";
import { withSection } from "../../bench/sections.ts";
import { intoMarkdown } from "../../bench/report.ts";

const MAIN = resolve(import.meta.dirname, "../../bench/compare/main.ts");

const cost = {
  commitsPerStep: 1.2,
  transactionsPerStep: 4,
  walBytesPerStep: 700,
  cpuUsPerStep: { worker: 30, postgres: 12 },
};
const comparison: Comparison = {
  rows: CONTENDERS.flatMap((contender, place) =>
    [1, 50, 200].map((runs) => ({
      contender,
      runs,
      median: { stepsPerSecond: 1_000 * (place + 1) + runs, p50Ms: 12.34, p99Ms: 56.78, cost },
    })),
  ),
  baselineCommitsPerSecond: 4_321,
};

describe("the report", () => {
  test("has a line for each system and number of runs", () => {
    const [, head, ...lines] = toText(comparison).split("\n");
    expect(head).toContain("steps/s");
    expect(lines).toHaveLength(12);
    expect(lines.at(-1)).toMatch(/^DBOS +200 +4200 +12\.3 +56\.8 +1\.2 +42 +wrk 30 pg 12$/);
  });

  test("of contenders of which one finishes no run says so in its row, and has all others", async () => {
    const [own, other] = CONTENDERS;
    const measured: Measured = { stepsPerSecond: 1_000, p50Ms: 1, p99Ms: 2, cost };
    const contenders = [
      { ...own!, measure: async () => measured },
      {
        ...other!,
        measure: async (_world: unknown, _name: string, runs: number) => {
          if (runs === 50) throw new Error("nothing was measured");
          return measured;
        },
      },
    ];
    // Its database is not needed for a baseline of no length.
    const world = { extent: { rounds: 1 } } as World;
    const found = await compareAll(
      world,
      contenders,
      () => undefined,
      async () => 4_321,
    );
    const lines = toText(found).split("\n").slice(2);
    expect(lines).toHaveLength(6);
    expect(lines.filter((line) => line.includes("1000"))).toHaveLength(5);
    expect(lines[4]).toMatch(/ 50 +not measured: nothing was measured$/);
    expect(JSON.parse(toJson(found))).toMatchObject({ rows: { 4: { runs: 50, trouble: "nothing was measured" } } });
    expect(toSummary(found, [])).toContain("| 1000 | not measured | 1000 |");
  });

  test("as JSON holds the same", () => {
    const { rows } = JSON.parse(toJson(comparison)) as { rows: object[] };
    expect(rows).toHaveLength(12);
    expect(rows[6]).toMatchObject({ system: "restate", runs: 1, stepsPerSecond: 3_001, cpuUsPerStep: { worker: 30 } });
  });

  test("for the README has a line for each system", () => {
    const lines = toSummary(comparison, [{ name: "Node", value: "v24" }]).split("\n");
    expect(lines).toContain("| AbstractRuntime, run-ahead | 2001 | 2050 | 2200 | 12.3 ms |");
    expect(lines.filter((line) => line.startsWith("| "))).toHaveLength(2 + 4);
  });
});

describe("the section of a file", () => {
  test("is put at the end at first, and then replaced", () => {
    const first = withSection("# Title\n\nText.\n", "compare", ["one"]);
    expect(first).toBe("# Title\n\nText.\n\n<!-- compare:begin -->\n\none\n\n<!-- compare:end -->\n");
    expect(withSection(`${first}\nMore.\n`, "compare", ["two"])).toBe(`${first.replace("one", "two")}\nMore.\n`);
  });

  test("and the main benchmark's section keep each other", () => {
    const benchOf = (markdown: string, perSecond: number): string =>
      intoMarkdown(markdown, { rows: [], baselineCommitsPerSecond: perSecond }, []);
    const compareOf = (markdown: string): string => withSection(markdown, "compare", [toResults(comparison, [])]);
    const both = compareOf(benchOf("# Results\n", 111));
    expect(compareOf(both)).toBe(both);
    expect(benchOf(both, 222)).toBe(both.replace("111", "222"));
  });
});

describe("Restate's configuration", () => {
  const durable = '[bifrost]\ndefault-provider = "replicated"\n\n[log-server]\nrocksdb-disable-wal-fsync = false\n';

  test("is accepted if its log is synced", () => {
    expect(() => assertDurable(durable)).not.toThrow();
  });

  test.each([
    ["not synced", durable.replace("fsync = false", "fsync = true")],
    ["kept in memory", durable.replace("replicated", "in-memory")],
    ["set up by names that are not known", "[log-server]\n"],
  ])("is refused if its log is %s", (_how, dumped) => {
    expect(() => assertDurable(dumped)).toThrow("not durable");
  });
});

test("npm run bench:compare refuses systems that it does not know", async () => {
  const child = spawn(process.execPath, [MAIN, "--only", "temporal"], { stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  expect({ stdout, code: child.exitCode }).toEqual({ stdout: "", code: 2 });
  expect(stderr).toContain("unknown system temporal");
});
