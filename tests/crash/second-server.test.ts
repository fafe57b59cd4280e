/**
 * A data directory is for one server at a time. A second one is refused, learns how to join the database, and joins it.
 */
import { spawnSync } from "node:child_process";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startServerProcess } from "../conformance/server.ts";

test("a second server on a data directory is refused; with the URL from the refusal it joins as a client", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "abstractruntime-test-"));
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  await chmod(dataDir, 0o711);
  const env = { ABSTRACTRUNTIME_DATA_DIR: dataDir };
  const first = await startServerProcess({ env });
  onTestFinished(first.kill);

  const refusal = String(await startServerProcess({ env }).catch((error: unknown) => error));
  expect(refusal).toContain(`another server uses the data directory ${dataDir}`);
  // An expected failure, like any other that prevents a start: a message without a stack trace.
  expect(refusal).not.toMatch(/\n\s+at /);

  // As a person would: the line is pasted into a shell.
  const [setting = ""] = /DATABASE_URL=.*/.exec(refusal) ?? [];
  const { stdout: url } = spawnSync("sh", ["-c", `${setting}; printf %s "$DATABASE_URL"`], { encoding: "utf8" });
  const second = await startServerProcess({ env: { DATABASE_URL: url } });
  onTestFinished(second.kill);
  const isHealthy = async ({ url: server }: { url: string }) => (await fetch(`${server}/healthz`)).ok;
  await expect.poll(() => isHealthy(first)).toBe(true);
  await expect.poll(() => isHealthy(second)).toBe(true);
  await second.stop();
  await expect.poll(() => isHealthy(first)).toBe(true);
  await first.stop();
  expect([first.errors(), second.errors()]).toEqual([[], []]);
});
