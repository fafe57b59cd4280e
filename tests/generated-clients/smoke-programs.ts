/** What the smoke programs of sdk-python and sdk-go do against a real server: the same in every language. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { afterEach, expect, test, vi } from "vitest";
import { startServerProcess, useServer } from "../conformance/server.ts";
import { createTestDatabase } from "../support/postgres.ts";

export type SmokePrograms = {
  /** The program and its arguments, to which the tests add options. */
  client: readonly [string, ...string[]];
  worker: readonly [string, ...string[]];
  cwd: string;
  env: NodeJS.ProcessEnv;
};

/** The last output of the client's second graph: a call that the tool answered, and one that it refused. */
const TOOL_RESULTS = [
  { success: true, output: { text: "hello" } },
  { success: false, error: { code: "TOOL_FAILED", message: "text must be a string" } },
];

/** What the worker prints of two results. */
const TWO_ACCEPTED = "RESULT_STATUS_ACCEPTED\nRESULT_STATUS_ACCEPTED\n";

/**
 * Longer than the 30 s for which the client awaits a run, so that a call without a worker is reported by the client
 * itself.
 */
const WORKER_TEST_TIMEOUT_MS = 300_000;

/** Defines the tests of one language's programs, which share a server. */
export function testSmokePrograms({ client, worker, cwd, env }: SmokePrograms): void {
  const server = useServer();
  const started: ChildProcess[] = [];
  afterEach(() => {
    for (const child of started.splice(0)) child.kill("SIGKILL");
  });

  /** Starts a program. `ended` resolves with its output, and rejects if its exit code is not 0. */
  function start(command: readonly [string, ...string[]], ...options: string[]) {
    const [program, ...args] = command;
    const child = spawn(program, [...args, ...options], { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    started.push(child);
    let printed = "";
    child.stdout.setEncoding("utf8").on("data", (chunk) => (printed += chunk));
    const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]).then(
      ([output, problems]) => {
        if (child.exitCode !== 0) throw new Error(`${command.join(" ")} ended with ${child.exitCode}:\n${problems}`);
        return output;
      },
    );
    // If a program fails while the test awaits another one, the failure is reported where it is awaited, not as an
    // unhandled rejection.
    ended.catch(() => {});
    return {
      ended,
      terminate: () => child.kill("SIGTERM"),
      /** Waits until it has printed this. */
      hasPrinted: (expected: string) => vi.waitFor(() => expect(printed).toBe(expected), { timeout: 60_000 }),
    };
  }

  async function runClient(...options: string[]): Promise<unknown> {
    return JSON.parse(await start(client, ...options).ended);
  }

  test("the client runs a graph, answers its question, verifies its ledger and reads a refusal", async () => {
    expect(await runClient("--url", server.url)).toEqual({
      greeting: "Hello, Ada!",
      kinds: ["run.started", "step.waiting", "step.completed", "run.completed"],
      refused: "WAIT_ALREADY_ANSWERED",
    });
  });

  test("the client fails if there is no server", async () => {
    await expect(runClient("--url", "http://127.0.0.1:1")).rejects.toThrow("ended with 1");
  });

  test(
    "the worker serves the client's calls, and says goodbye after as many as it was to take",
    { timeout: WORKER_TEST_TIMEOUT_MS },
    async () => {
      const serving = start(worker, "--url", server.url, "--tool", "smoke.counted", "--jobs", "2");
      expect(await runClient("--url", server.url, "--tool", "smoke.counted")).toMatchObject({ results: TOOL_RESULTS });
      expect(await serving.ended).toBe(TWO_ACCEPTED);
    },
  );

  test("the worker ends in an orderly way at SIGTERM", { timeout: WORKER_TEST_TIMEOUT_MS }, async () => {
    const serving = start(worker, "--url", server.url, "--tool", "smoke.terminated");
    expect(await runClient("--url", server.url, "--tool", "smoke.terminated")).toMatchObject({ results: TOOL_RESULTS });
    serving.terminate();
    expect(await serving.ended).toBe(TWO_ACCEPTED);
  });

  test("the worker outlives its server", { timeout: WORKER_TEST_TIMEOUT_MS }, async () => {
    const database = await createTestDatabase();
    const settings = { DATABASE_URL: database.url };
    const first = await startServerProcess({ env: settings });
    const serving = start(worker, "--url", first.url, "--tool", "smoke.cut", "--jobs", "4");
    expect(await runClient("--url", first.url, "--tool", "smoke.cut")).toMatchObject({ results: TOOL_RESULTS });
    // The client may know the run's end before the worker knows that its results count.
    await serving.hasPrinted(TWO_ACCEPTED);
    await first.kill();
    const second = await startServerProcess({ env: settings, port: first.port });
    expect(await runClient("--url", second.url, "--tool", "smoke.cut")).toMatchObject({ results: TOOL_RESULTS });
    expect(await serving.ended).toBe(TWO_ACCEPTED + TWO_ACCEPTED);
    await second.stop();
    await database.drop();
  });
}
