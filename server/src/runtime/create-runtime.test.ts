import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { askUser, complete, jsonSchema, workflow } from "@abstractruntime/sdk";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";

import { findPostmaster } from "../embedded-postgres/cluster.ts";
import { postmasterState } from "../embedded-postgres/processes.ts";
import { createRuntime } from "./create-runtime.ts";

/** A server with a new database starts within seconds; four of them at once, on a busy machine, need longer. */
const TIMEOUT_MS = 60_000;

const greet = workflow(
  "greet",
  {
    vars: jsonSchema<{ reply?: { answer: unknown } }>({ type: "object" }),
    output: jsonSchema<{ greeting: string }>({ type: "object" }),
  },
  {
    ask: askUser({ prompt: "What is your name?" }, { resultKey: "reply", next: ["done"] }),
    done: complete({ greeting: "Hello, ${vars.reply.answer}!" }),
  },
);

/** Where temporary folders of the runtimes lie. */
let temporary: string;
beforeEach(async () => {
  temporary = await fs.mkdtemp(path.join(tmpdir(), "abstractruntime-test-"));
  await fs.chmod(temporary, 0o711);
  vi.stubEnv("TMPDIR", temporary);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await fs.rm(temporary, { recursive: true, force: true });
});

/** The database of the one runtime with a temporary folder. */
async function findDatabase() {
  const names = await fs.readdir(temporary);
  expect(names).toHaveLength(1);
  const found = await findPostmaster(path.join(temporary, names[0] ?? ""));
  if (found === undefined) throw new Error("no database runs");
  return { pid: found.pid, isRunning: () => postmasterState(found.pid, found.marks) === "running" };
}

describe("createRuntime", { timeout: TIMEOUT_MS }, () => {
  test("with no options runs, answers and stops, and leaves nothing", async () => {
    // Those of the program are not the server's.
    vi.stubEnv("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
    vi.stubEnv("ABSTRACTRUNTIME_LISTEN", "127.0.0.1:1");
    await using rt = await createRuntime();
    expect(rt.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    const run = await rt.client.run(greet, {});
    expect(run).toMatchObject({ status: "waiting", waiting: { prompt: "What is your name?" } });
    await rt.client.respond(run, "Ada");
    expect(await rt.client.result(run)).toEqual({ greeting: "Hello, Ada!" });
    const database = await findDatabase();
    await Promise.all([rt.stop(), rt.stop()]);
    expect(database.isRunning()).toBe(false);
    expect(await fs.readdir(temporary)).toEqual([]);
    await expect(fetch(`${rt.url}/healthz`)).rejects.toThrow("fetch failed");
  });

  test("keeps a data directory that it is given: runs go on at the next start", async () => {
    const dataDir = path.join(temporary, "data");
    let runId: string;
    {
      await using rt = await createRuntime({ dataDir });
      ({ runId } = await rt.client.run(greet, {}));
    }
    expect(await findPostmaster(dataDir)).toBeUndefined();
    await using rt = await createRuntime({ dataDir });
    await rt.client.respond(runId, "Bob");
    expect(await rt.client.result(runId)).toEqual({ greeting: "Hello, Bob!" });
  });

  test("rejects with the end of the log if the server does not start", async () => {
    await expect(createRuntime({ listen: "0.0.0.0:0" })).rejects.toThrow(/did not start:\n[^]*--insecure/);
    expect(await fs.readdir(temporary)).toEqual([]);
    await using rt = await createRuntime();
    const { host } = new URL(rt.url);
    await expect(createRuntime({ listen: host })).rejects.toThrow(/did not start:\ncannot listen: .*EADDRINUSE/);
    const dataDir = path.join(temporary, "file");
    await fs.writeFile(dataDir, "");
    await expect(createRuntime({ dataDir })).rejects.toThrow(/did not start:\n.*file/);
  });

  test("rejects if the server is not healthy in time, and ends it", async () => {
    const databaseUrl = "postgres://nobody@127.0.0.1:1/nothing";
    await expect(createRuntime({ databaseUrl, startTimeoutMs: 1_000 })).rejects.toThrow(
      "was not healthy within 1000 ms",
    );
  });

  test("ends the database and removes its folder when the server was killed", async () => {
    await using rt = await createRuntime();
    const database = await findDatabase();
    process.kill(parentOf(database.pid), "SIGKILL");
    await rt.stop();
    expect(database.isRunning()).toBe(false);
    expect(await fs.readdir(temporary)).toEqual([]);
  });

  test("does not outlive its program", async () => {
    const module = new URL("create-runtime.ts", import.meta.url).href;
    const source = `
      const { createRuntime } = await import(${JSON.stringify(module)});
      console.log((await createRuntime()).url);`;
    const program = spawn(process.execPath, ["--input-type=module", "--eval", source], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void program.kill("SIGKILL"));
    const [line] = (await once(program.stdout, "data")) as [Buffer];
    const database = await findDatabase();
    const url = line.toString().trim();
    expect((await fetch(`${url}/healthz`)).ok).toBe(true);
    program.kill("SIGKILL");
    await once(program, "exit");
    // Nobody is left to be told, so this looks.
    await expect.poll(() => fs.readdir(temporary), { timeout: 60_000 }).toEqual([]);
    expect(database.isRunning()).toBe(false);
  });
});

function parentOf(pid: number): number {
  return Number(spawnSync("ps", ["-o", "ppid=", "-p", String(pid)], { encoding: "utf8" }).stdout);
}
