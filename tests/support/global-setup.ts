import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";

import type { ThrowAwayPostgres } from "./postgres.ts";

/** How soon a run notices that npm was killed. */
const PARENT_POLL_MS = 250;

const GUARDIAN = fileURLToPath(new URL("guardian.ts", import.meta.url));

/**
 * Starts the suite's Postgres before any test file and removes it after the last. For vitest's `globalSetup`.
 *
 * Postgres belongs to a process of its own (guardian.ts). If this process is killed, the guardian outlives it and ends
 * whatever the run has started. It recognises the run's processes by a temporary folder, which is TMPDIR for everything
 * in the run.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  endWithNpm();
  const temporary = process.env["TMPDIR"];
  const folder = await mkdtemp(join(tmpdir(), "abstractruntime-tests-"));
  // Postgres runs as another user if the tests run as root, and must be able to enter the folder.
  await chmod(folder, 0o711);
  process.env["TMPDIR"] = folder;
  const guardian = spawn(process.execPath, [GUARDIAN, folder, String(process.pid)], {
    stdio: ["pipe", "pipe", "inherit"],
    // A session of its own, so that Ctrl-C at the terminal does not end it.
    detached: true,
  });
  // A guardian that has ended reads nothing.
  guardian.stdin.on("error", () => undefined);
  const exited = once(guardian, "exit");
  const lines = createInterface({ input: guardian.stdout });
  const [line] = (await Promise.race([once(lines, "line"), exited])) as [unknown];
  if (typeof line !== "string") throw new Error("the Postgres of the test suite did not start");
  const { url, adminUrl } = JSON.parse(line) as ThrowAwayPostgres;
  project.provide("postgresAdminUrl", adminUrl);
  project.provide("postgresUrl", url);
  return async () => {
    if (temporary === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = temporary;
    guardian.stdin.end("end\n");
    await exited;
  };
}

/** npm passes signals on to the shell that it started, and the shell ends without passing them to this process. */
function endWithNpm(): void {
  if (process.env["npm_execpath"] === undefined) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    process.kill(process.pid, "SIGTERM");
  }, PARENT_POLL_MS);
  timer.unref();
}
