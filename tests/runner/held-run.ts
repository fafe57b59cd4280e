/** Starts what tests start, reports it, and then blocks (killed-run.test.ts). */
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createWorkerProcess } from "../chaos/worker-process.ts";
import { startServerProcess } from "../conformance/server.ts";
import { findPrograms } from "../support/debian-programs.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { startNginx, startPgBouncer, startPostgres } from "../support/real-servers.ts";

test("blocks while everything runs", async () => {
  const folder = mkdtempSync(join(tmpdir(), "held-"));
  chmodSync(folder, 0o711);
  const database = await createTestDatabase();
  const [server] = await Promise.all([
    startServerProcess({ env: { DATABASE_URL: database.url } }),
    // The guardian with its own Postgres, which outlives this process if it is killed.
    startServerProcess({ env: { ABSTRACTRUNTIME_DATA_DIR: join(folder, "data") } }),
  ]);
  const workerArguments = { name: "held", addresses: [server.url], toolLog: join(folder, "tools.log"), timing: {} };
  createWorkerProcess(workerArguments, join(folder, "worker.log")).start();
  const programs = await findPrograms("postgres", "pgbouncer", "nginx");
  if (programs.missing === undefined) {
    await startPgBouncer(programs, await startPostgres(programs));
    await startNginx(programs, "server { listen 127.0.0.1:PORT; }");
  }
  // Like builds: a program under npm, in a process group of its own, that gets no signal.
  const stubborn =
    "for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(name, () => {}); setInterval(() => {}, 1e6)";
  spawn("npm", ["exec", "--", "node", "--eval", stubborn], { stdio: "ignore", detached: true });
  const ready = process.env["HELD_RUN_READY"] ?? "";
  expect(ready).not.toBe("");
  writeFileSync(`${ready}.draft`, "");
  renameSync(`${ready}.draft`, ready);
  // Blocked in a synchronous call, like tests that build something.
  execFileSync("sleep", ["1000"]);
});
