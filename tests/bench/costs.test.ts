/** The benchmark's verdicts on costs that must not grow, and where it writes them. */
import { describe, expect, test } from "vitest";
import { isFlat, ratiosOf, type Slice } from "../../bench/compared.ts";
import { documentsOf } from "../../bench/documents.ts";
import { growthOf, type SoakSample } from "../../bench/growth.ts";
import type { Row } from "../../bench/measure.ts";
import { intoMarkdown, toJson, toText } from "../../bench/report.ts";
import type { Scenario } from "../../bench/scenario.ts";
import { LASTING_SCENARIOS, SCENARIOS } from "../../bench/scenarios.ts";
import { withSection } from "../../bench/sections.ts";
import type { Table } from "../../bench/table.ts";

describe("two sides of a comparison", () => {
  const slice = (seconds: number, cpuUs: number, walBytes: number): Slice => ({
    steps: 100,
    seconds,
    latencies: [1],
    cost: {
      commitsPerStep: 1,
      transactionsPerStep: 1,
      walBytesPerStep: walBytes,
      // The CPU time of the load generator does not count as the load's.
      cpuUsPerStep: { server: cpuUs / 2, worker: cpuUs / 4, postgres: cpuUs / 4, load: 1_000_000 },
    },
  });

  test("one slow slice does not move the ratio of times; CPU and WAL count all slices", () => {
    const light = [slice(1, 100, 1_000), slice(1, 100, 1_000), slice(1, 100, 1_000)];
    const heavy = [slice(1.2, 110, 1_000), slice(9, 120, 1_000), slice(1.2, 130, 2_500)];
    const { time, cpu, wal } = ratiosOf({ light, heavy });
    expect([time, cpu, wal].map((ratio) => ratio.toFixed(3))).toEqual(["1.200", "1.200", "1.500"]);
  });

  const measured = (ratio: number, cpuRatio: number, walRatio: number) => ({
    perSecond: 1,
    ratio,
    p50Ms: 1,
    p99Ms: 1,
    cost: null,
    details: { cpuRatio, walRatio },
  });
  test.each([
    [1.1, 1.1, 1.1, true],
    [1.11, 1, 1, false],
    [1, 1.11, 1, false],
    [1, 1, 1.11, false],
    [0.5, 0.5, 0.5, true],
  ])("time %d, CPU %d and WAL %d are flat within 1.1: %s", (time, cpu, wal, flat) => {
    expect(isFlat(measured(time, cpu, wal), 1.1)).toBe(flat);
  });
});

describe("growth in a soak", () => {
  const steady = (seconds: number): SoakSample => ({
    seconds,
    stepsPerSecond: 5_000,
    p50Ms: 20,
    p99Ms: 50,
    cpuUs: 200,
    heapMiB: seconds % 30 === 0 ? 60 : null,
    serverMiB: 200,
    workerMiB: 150,
    runs: seconds * 500,
    databaseMiB: seconds,
    changingMiB: seconds / 10,
    deadShare: 0.03,
  });
  const spans = { early: { from: 120, to: 240 }, late: { from: 480, to: 600 } };
  const soak = (change: (sample: SoakSample) => Partial<SoakSample>) =>
    growthOf(
      Array.from({ length: 60 }, (_, index) => steady((index + 1) * 10)).map((sample) => ({
        ...sample,
        ...change(sample),
      })),
      spans,
    );
  const grown = (change: (sample: SoakSample) => Partial<SoakSample>) =>
    soak(change).flatMap(({ name, hasGrown }) => (hasGrown ? [name] : []));

  test("a load that stays the same grows in nothing, though its tables do", () => {
    expect(soak(() => ({})).map(({ name, hasGrown }) => [name, hasGrown])).toEqual(
      [
        "heapMiB",
        "serverMiB",
        "workerMiB",
        "p50Ms",
        "p99Ms",
        "cpuUs",
        "deadShare",
        "bytesPerRun",
        "changingBytesPerRun",
      ].map((name) => [name, false]),
    );
  });

  test.each<[string, (sample: SoakSample) => Partial<SoakSample>]>([
    ["heapMiB", ({ seconds, heapMiB }) => ({ heapMiB: heapMiB === null ? null : heapMiB + seconds / 30 })],
    ["serverMiB", ({ seconds }) => ({ serverMiB: 200 + seconds / 6 })],
    ["workerMiB", ({ seconds }) => ({ workerMiB: 150 + seconds / 6 })],
    ["p50Ms", ({ seconds }) => ({ p50Ms: 20 + seconds / 30 })],
    ["p99Ms", ({ seconds }) => ({ p99Ms: 50 + seconds / 6 })],
    ["cpuUs", ({ seconds }) => ({ cpuUs: 200 + seconds / 6 })],
    ["deadShare", ({ seconds }) => ({ deadShare: 0.03 + seconds / 6_000 })],
    ["bytesPerRun", ({ seconds }) => ({ databaseMiB: seconds + seconds ** 2 / 600 })],
    ["changingBytesPerRun", ({ seconds }) => ({ changingMiB: seconds / 10 + seconds ** 2 / 6_000 })],
  ])("is found in %s", (name, change) => {
    expect(grown(change)).toEqual([name]);
  });

  test("says how fast", () => {
    const cpu = soak(({ seconds }) => ({ cpuUs: 200 + seconds })).find(({ name }) => name === "cpuUs");
    expect(cpu).toMatchObject({ early: 380, late: 740, hasGrown: true });
    expect(cpu!.perMinute).toBeCloseTo(60);
  });

  test("one bad sample is not growth", () => {
    expect(grown(({ seconds }) => (seconds === 550 ? { p99Ms: 5_000, cpuUs: 900, serverMiB: 900 } : {}))).toEqual([]);
  });
});

describe("sections of RESULTS.md", () => {
  const before =
    "# Results\n\n<!-- rows:begin -->\n\nold\n\n<!-- rows:end -->\n\n<!-- compare:begin -->kept<!-- compare:end -->\n";

  test("are replaced each by itself", () => {
    expect(withSection(before, "rows", ["new"])).toBe(before.replace("old", "new"));
  });

  test("are added after the rest", () => {
    const added = withSection(before, "soak", ["a", "b"]);
    expect(added).toBe(`${before}\n<!-- soak:begin -->\n\na\nb\n\n<!-- soak:end -->\n`);
    expect(withSection(added, "soak", ["a", "b"])).toBe(added);
  });
});

describe("the report", () => {
  const measured = { perSecond: 1_000, ratio: 1, p50Ms: 1, p99Ms: 2, cost: null, details: {} };
  const row = (scenario: Scenario, tables?: Table[]): Row => ({
    scenario,
    median: { ...measured, ...(tables === undefined ? {} : { tables }) },
    isMet: true,
  });
  const machine = [{ name: "CPU", value: "a fast one" }];

  test("has a section for the plain rows and one for each other, and writes just what was measured", () => {
    const baselineCommitsPerSecond = 1_400;
    const [plain, lasting] = [SCENARIOS[0]!, LASTING_SCENARIOS[0]!];
    const first = intoMarkdown("# Results\n", { rows: [row(plain)], baselineCommitsPerSecond }, machine);
    expect(first).toContain("<!-- rows:begin -->\n\n## Rows\n\n- CPU: a fast one\n");
    const table = { head: ["side", "steps/s"], rows: [["10 records", "1000"]] };
    const both = intoMarkdown(first, { rows: [row(lasting, [table])], baselineCommitsPerSecond }, machine);
    expect(both.startsWith(first)).toBe(true);
    expect(both).toContain("<!-- cost-ledger:begin -->\n\n## `cost-ledger`\n");
    expect(both).toContain("\n| side | steps/s |\n| --- | --- |\n| 10 records | 1000 |\n\n<!-- cost-ledger:end -->\n");
  });
});

test("a row without a measurement says so, beside the others", () => {
  const numbers = { perSecond: null, ratio: null, p50Ms: null, p99Ms: null, cost: null, details: {} };
  const trouble = "nothing was measured\nat a place";
  const rows: Row[] = [
    { scenario: SCENARIOS[0]!, median: numbers, isMet: false, trouble },
    { scenario: SCENARIOS[1]!, median: { ...numbers, perSecond: 1_000 }, isMet: true },
  ];
  const results = { rows, baselineCommitsPerSecond: 1 };
  const [, , first, second] = toText(results).split("\n");
  expect(first).toMatch(/ not measured: nothing was measured$/);
  expect(second).toMatch(/ 1000 .* yes$/);
  expect(JSON.parse(toJson(results))).toMatchObject({ scenarios: [{ trouble }, { perSecond: 1_000 }] });
});

describe("documents", () => {
  test.each([1_000, 10_000, 1_000_000])("take about %d bytes", (bytes) => {
    const size = JSON.stringify(documentsOf(bytes)).length;
    expect(size).toBeLessThanOrEqual(bytes);
    expect(size).toBeGreaterThan(bytes - 1_200);
  });
});
