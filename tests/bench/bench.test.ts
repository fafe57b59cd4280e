/** The benchmark works and prints what it promises. Tests do not judge what it measures. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, inject, test } from "vitest";
import { LASTING_SCENARIOS, SCENARIOS } from "../../bench/scenarios.ts";

const MAIN = resolve(import.meta.dirname, "../../bench/main.ts");
/** It starts a Postgres, a server, a worker and load generators. */
const RUN_MS_MAX = 120_000;

async function runBench(...args: string[]) {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { stdout, stderr, code: child.exitCode };
}

describe("npm run bench", () => {
  test("has the rows of the design", () => {
    const rows = ["handler-50", "handler-200", "handler-200-ahead", "declarative-200", "tools-200", "single-run"];
    rows.push("resume-latency", "waiting-runs", "server-takeover");
    rows.push("worker-silent", "worker-closed", "worker-goodbye", "server-start");
    expect(SCENARIOS.map(({ name }) => name)).toEqual(rows);
  });

  test("measures long rows only if they are named", () => {
    expect(LASTING_SCENARIOS.map(({ name }) => name)).toEqual(["cost-ledger", "cost-history", "cost-vars", "soak"]);
    expect(SCENARIOS.filter((scenario) => LASTING_SCENARIOS.includes(scenario))).toEqual([]);
  });

  test("writes rows that belong together only as a whole", async () => {
    const { stderr, code } = await runBench("--write", "--only", "handler-50", "--only", "soak");
    expect(code).toBe(2);
    expect(stderr).toContain("--write is for full measurements");
  });

  test("prints one object on its last line", { timeout: RUN_MS_MAX }, async () => {
    const { stdout, stderr, code } = await runBench("--quick", "--only", "single-run", "--json");
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const number = expect.any(Number) as number;
    expect(JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "")).toEqual({
      baselineCommitsPerSecond: number,
      scenarios: [
        {
          name: "single-run",
          perSecond: number,
          ratio: number,
          p50Ms: number,
          p99Ms: number,
          commitsPerStep: number,
          walBytesPerStep: number,
          isMet: expect.any(Boolean) as boolean,
          details: expect.any(Object) as object,
        },
      ],
    });
  });

  test("refuses a database that may lose commits", async () => {
    // The suite's Postgres runs without fsync.
    const { stdout, stderr, code } = await runBench("--quick", "--database-url", inject("postgresAdminUrl"));
    expect({ stdout, code }).toEqual({ stdout: "", code: 1 });
    expect(stderr).toContain("not durable: fsync is off");
  });

  test("refuses rows that it does not have", async () => {
    const { stderr, code } = await runBench("--only", "handler-51");
    expect(code).toBe(2);
    expect(stderr).toContain("handler-51");
  });
});
