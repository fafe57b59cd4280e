/** A killed test run leaves no database, server, worker or build behind, and no files. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { REPOSITORY } from "../conformance/server.ts";
import { findPrograms } from "../support/debian-programs.ts";

const TEST_MS_MAX = 90_000;
/** Everything is asked to end at once, which may take some seconds on a busy machine. */
const GONE_MS_MAX = 20_000;

const VITEST = [process.execPath, join(REPOSITORY, "node_modules/vitest/vitest.mjs"), "run"];
const NPM = ["npm", "test", "--"];
const NPX = ["npx", "vitest", "run"];

/** What the held run starts (held-run.ts), each as its command line shows it. */
const STARTED = {
  "the suite's Postgres": /bin\/postgres -D .*abstractruntime-test-/,
  "a server": /main\.ts server/,
  "the Postgres of a server": /bin\/postgres -D .*held-/,
  "a worker": /chaos\/worker\.ts/,
  "a build": /^node --eval/,
  "a call of a test": /^sleep 1000/,
  // Where they can be had.
  ...((await findPrograms("postgres", "pgbouncer", "nginx")).missing === undefined
    ? { "Debian's Postgres": /postgres -D .*\/po-/, PgBouncer: /pgbouncer .*\/pg-/, nginx: /nginx.* -p .*\/ng-/ }
    : {}),
};

/** The temporary folder of one run. All its processes have it in their environment or in their command line. */
let temporary: string;
let runner: ChildProcess | undefined;

beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), "killed-run-"));
  await chmod(temporary, 0o711);
});

afterEach(async () => {
  for (const { pid } of processes()) process.kill(pid, "SIGKILL");
  await rm(temporary, { recursive: true, force: true, maxRetries: 5 });
});

test.runIf(process.platform === "linux").each([
  { program: "vitest", command: VITEST, signal: "SIGTERM", to: "the runner" },
  { program: "vitest", command: VITEST, signal: "SIGINT", to: "the runner" },
  { program: "vitest", command: VITEST, signal: "SIGKILL", to: "the runner" },
  { program: "npx vitest", command: NPX, signal: "SIGTERM", to: "the runner" },
  { program: "npm test", command: NPM, signal: "SIGTERM", to: "the runner" },
  { program: "npm test", command: NPM, signal: "SIGINT", to: "its process group, as Ctrl-C" },
] as const)("$program: $signal to $to leaves nothing", { timeout: TEST_MS_MAX }, async ({ command, signal, to }) => {
  const ready = join(temporary, "ready");
  const [program, ...args] = [...command, "--config", "tests/runner/held-run.config.ts"];
  // Environment variables that the surrounding run has set for its own processes must not reach this one.
  const own = Object.entries(process.env).filter(([name]) => !/^(npm_|VITEST|NODE_ENV$)/i.test(name));
  // npm would leave a cache of compiled code.
  const settings = { TMPDIR: temporary, HELD_RUN_READY: ready, NODE_DISABLE_COMPILE_CACHE: "1" };
  const env = { ...Object.fromEntries(own), ...settings };
  let output = "";
  runner = spawn(program, args, { cwd: REPOSITORY, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  for (const stream of [runner.stdout, runner.stderr])
    stream?.on("data", (text: Buffer) => (output += text.toString()));
  const all = Object.keys(STARTED);
  const seen = (): string[] => {
    if (runner?.exitCode !== null) throw new Error(`the run has ended:\n${output}`);
    const commands = processes().map((found) => found.command);
    return Object.entries(STARTED).flatMap(([what, line]) => (commands.some((text) => line.test(text)) ? [what] : []));
  };
  await expect.poll(() => existsSync(ready) || output.includes("FAIL"), { timeout: TEST_MS_MAX / 2 }).toBe(true);
  await expect.poll(seen, { timeout: GONE_MS_MAX }).toEqual(all);

  process.kill(to === "the runner" ? (runner.pid ?? 0) : -(runner.pid ?? 0), signal);
  await expect.poll(() => processes().map((found) => found.command), { timeout: GONE_MS_MAX }).toEqual([]);
  expect(await readdir(temporary)).toEqual(["ready"]);
});

function processes(): { pid: number; command: string }[] {
  return readdirSync("/proc").flatMap((name) => {
    const [command, environment] = ["cmdline", "environ"].map((file) => readProc(name, file)) as [string, string];
    const isOfRun = command.includes(temporary) || environment.includes(`TMPDIR=${temporary}`);
    return /^\d+$/.test(name) && isOfRun ? [{ pid: Number(name), command: command.replaceAll("\0", " ") }] : [];
  });
}

function readProc(name: string, file: string): string {
  try {
    return readFileSync(`/proc/${name}/${file}`, "utf8");
  } catch {
    return ""; // It ended in the meantime.
  }
}
