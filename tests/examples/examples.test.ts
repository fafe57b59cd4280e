/** The five examples, run as their comments tell people to, on a server with its own Postgres. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createApi, type JsonObject, type Run } from "../conformance/api.ts";
import { REPOSITORY, type ServerProcess, startServerProcess } from "../conformance/server.ts";
import { commandsOf, type Outcome, runCommand } from "./command-line.ts";

let dataDir: string;
let server: ServerProcess;
const api = createApi({
  get url() {
    return server.url;
  },
});

beforeAll(async () => {
  dataDir = await mkdtemp(path.join(tmpdir(), "abstractruntime-examples-"));
  server = await start();
  process.chdir(REPOSITORY);
});
afterAll(async () => {
  await server.stop();
  await rm(dataDir, { recursive: true, force: true });
  expect(server.errors()).toEqual([]);
});

const start = (port = 0) => startServerProcess({ env: { ABSTRACTRUNTIME_DATA_DIR: dataDir }, port });

/** Runs a line that must succeed. */
async function run(line: string, stdin = ""): Promise<string> {
  const { code, out, err } = await runCommand(line, server.url, stdin);
  expect(code, `${line}\n${out}${err}`).toBe(0);
  return out;
}

/** Runs a line with --json, and reads it. */
async function runJson(line: string, stdin = ""): Promise<Run> {
  const json = JSON.parse(await run(`${line} --json`, stdin)) as { run?: Run } & Run;
  return json.run ?? json;
}

/** An example's commands, which must be the ones that the test below expects. */
async function commands(name: string, expected: string[]): Promise<string[]> {
  const lines = commandsOf(await readFile(`${REPOSITORY}/examples/${name}.yaml`, "utf8"));
  expect(lines.map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual(expected);
  return lines;
}

const step = (lines: string[], index: number): string => lines[index] ?? expect.unreachable(`no command ${index}`);

test("hello-world: a node sets a variable, one ends the run with it", async () => {
  const lines = await commands("hello-world", ["workflow register", "run start", "run start"]);
  await run(step(lines, 0));
  const world = await runJson(step(lines, 1));
  expect(world).toMatchObject({
    status: "RUN_STATUS_COMPLETED",
    output: { message: "Hello, World!" },
    vars: { greeting: "Hello, World!" },
  });
  expect((await runJson(step(lines, 2))).output).toEqual({ message: "Hello, Ada!" });
});

test("ask-user: two questions, the second with choices, then what was answered", async () => {
  const lines = await commands("ask-user", [
    "workflow register",
    "run start",
    "inbox",
    "run answer",
    "run answer",
    "run get",
  ]);
  await run(step(lines, 0));
  const { waiting } = await runJson(step(lines, 1));
  expect(waiting).toMatchObject({ prompt: "What is your name?", reason: "WAIT_REASON_USER" });
  expect(await run(step(lines, 2))).toContain("What is your name?");
  // An empty answer is refused, and the question stays.
  const refused: Outcome = await runCommand("run answer ask-1 --json-answer '\"\"'", server.url);
  expect(refused).toMatchObject({ code: 1 });
  expect(refused.err).toContain("ANSWER_INVALID");
  await run(step(lines, 3));
  const asked = (await api.call("GetRun", { runId: "ask-1" })).run.waiting;
  expect(asked).toMatchObject({
    prompt: "Nice to meet you, Ada! How shall I greet you?",
    choices: ["formally", "casually", "like a pirate"],
  });
  const shown = await runCommand(step(lines, 4), server.url, "3\n");
  expect(shown.code, `it wrote ${shown.err}`).toBe(0);
  expect(shown.err).toContain("like a pirate");
  const done = await runJson(step(lines, 5));
  expect(done).toMatchObject({
    status: "RUN_STATUS_COMPLETED",
    output: { message: "Ahoy, ADA!", name: "Ada", choice: "like a pirate" },
  });
});

test("wait-until: sleeps, and returns when it was to wake and when it did", async () => {
  const lines = await commands("wait-until", ["workflow register", "run start", "run watch", "run start"]);
  await run(step(lines, 0));
  const started = await runJson(`${step(lines, 1)} --var delay=300ms`);
  expect(started.waiting?.reason).toBe("WAIT_REASON_UNTIL");
  // It ends with the run.
  expect(await run(step(lines, 2))).toContain("run.completed");
  const { output, waiting } = (await api.call("GetRun", { runId: "nap-1" })).run;
  expect(waiting).toBeUndefined();
  const { message, scheduled_for, actual_time } = output as Record<string, string>;
  expect(message).toBe("Woke up after 300ms.");
  expect(Date.parse(scheduled_for!)).toBe(Date.parse(started.waiting!.dueTime!));
  expect(Date.parse(actual_time!)).toBeGreaterThanOrEqual(Date.parse(scheduled_for!));
  const long = await runJson(step(lines, 3));
  expect(Date.parse(long.waiting!.dueTime!) - Date.parse(long.createTime)).toBeGreaterThanOrEqual(90_000);
});

test("multi-step: a loop that labels each word as long or short", async () => {
  const lines = await commands("multi-step", [
    "workflow register",
    "run start",
    "run start",
    "ledger list",
    "workflow render",
  ]);
  await run(step(lines, 0));
  const results = ["Apple (short)", "BANANA (long)", "CHERRY (long)", "Fig (short)", "STRAWBERRY (long)"];
  const done = await runJson(step(lines, 1));
  expect(done.output).toEqual({ total_processed: 5, results, summary: `Processed 5 items: ${results.join(", ")}` });
  const other = (await runJson(step(lines, 2))).output as JsonObject;
  expect(other["results"]).toEqual(["Kiwi (short)", "POMEGRANATE (long)"]);
  const records = await api.records("loop-1");
  const nodes = records.flatMap(({ nodeId }) => nodeId ?? []);
  expect(nodes).toEqual(["init", ...results.flatMap(() => ["check", "process"]), "check", "finish"]);
  expect((await run(step(lines, 3))).trim().split("\n").length).toBeGreaterThanOrEqual(records.length);
  expect(await run(step(lines, 4))).toMatch(/^(flowchart|stateDiagram)/m);
});

describe("persistence: a run that outlives server and database", () => {
  test("both are killed while it waits; its history goes on", async () => {
    const lines = await commands("persistence", [
      "server",
      "workflow register",
      "run start",
      "run get",
      "run answer",
      "ledger list",
    ]);
    await run(step(lines, 1));
    const before = await runJson(step(lines, 2));
    expect(before).toMatchObject({ status: "RUN_STATUS_WAITING", waiting: { prompt: "Enter a message to continue:" } });
    const history = await api.records("lasting-1");
    const { port } = server;
    await server.kill();
    await killDatabase();
    server = await start(port);
    const after = await runJson(step(lines, 3));
    expect(after).toEqual(before);
    await run(step(lines, 4));
    const { run: done } = await api.call("AwaitRun", { runId: "lasting-1", timeout: "20s" });
    expect(done).toMatchObject({
      status: "RUN_STATUS_COMPLETED",
      output: { message: "I am back", step1_time: before.vars?.["step1_time"] as string },
    });
    const records = await api.records("lasting-1");
    expect(records.slice(0, history.length)).toEqual(history);
    expect(records.map(({ seq }) => seq)).toEqual(records.map((_record, index) => index + 1));
    expect(await run(step(lines, 5))).toContain("run.completed");
  });

  /** Kills the Postgres of our own data directory with SIGKILL; the first line of its pid file names its process. */
  async function killDatabase(): Promise<void> {
    const [pid = ""] = (await readFile(path.join(dataDir, "postgres", "data", "postmaster.pid"), "utf8")).split("\n");
    process.kill(Number(pid), "SIGKILL");
  }
});
