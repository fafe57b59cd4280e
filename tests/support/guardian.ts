/**
 * Outlives the test run, to end what a killed run leaves behind.
 *
 *   node tests/support/guardian.ts <folder> <pid of the run>
 *
 * Its stdin is a pipe, which closes when the run ends, however it ends. `folder` is the temporary folder of everything
 * in the run (TMPDIR). It also marks the run's processes: each has it in its environment or in its command line. The
 * guardian starts the suite's Postgres, and writes its URLs to stdout as a line of JSON.
 */
import { readdirSync, readFileSync } from "node:fs";
import { readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { startThrowAwayPostgres } from "./postgres.ts";

const POLL_MS = 20;
/** Postgres needs a moment to end and to remove its shared memory. */
const POSTGRES_END_MS = 3_000;
const END_MS_MAX = 10_000;

const [folder = "", run = ""] = process.argv.slice(2);
let isOrderly = false;
const over = new Promise<void>((resolve) => {
  // A run that ends normally says so before it closes the pipe.
  process.stdin.on("data", () => (isOrderly = true));
  process.stdin.on("error", () => resolve()).on("close", () => resolve());
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => resolve());
});
// There may be no reader any more.
process.stdout.on("error", () => undefined);
process.stderr.on("error", () => undefined);

const postgres = await startThrowAwayPostgres();
process.stdout.write(`${JSON.stringify({ url: postgres.url, adminUrl: postgres.adminUrl })}\n`);
await over;
await endLeftovers();
await postgres.stop();
// A run that ends normally may have kept files of tests that failed, and says where they are.
if (isOrderly) {
  // Caches that programs keep there.
  const caches = (await readdir(folder)).filter((name) => /^(node-compile-cache|tsx-\d+)$/.test(name));
  for (const name of caches) await rm(join(folder, name), { recursive: true, force: true });
  await rmdir(folder).catch(() => undefined);
} else {
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}
// stdin may still be open if a signal has ended this.
process.exit();

/** Ends all processes of the run. If the run ended normally, ends only those that are no longer below its process. */
async function endLeftovers(): Promise<void> {
  const startedAt = performance.now();
  for (;;) {
    const left = leftovers();
    const tookMs = performance.now() - startedAt;
    if (left.length === 0 || tookMs > END_MS_MAX) return;
    if (isOrderly) process.stderr.write(`[test run] left behind: ${left.map(({ command }) => command).join("; ")}\n`);
    for (const { pid, command } of left) {
      // After SIGKILL its shared memory would stay. It is asked to end at once, as after a crash.
      const isPostgres = /^(\S*\/)?postgres[ :]/.test(command);
      try {
        process.kill(pid, isPostgres && tookMs < POSTGRES_END_MS ? "SIGQUIT" : "SIGKILL");
      } catch {
        // It ended in the meantime.
      }
    }
    await pause(POLL_MS);
  }
}

type Process = { pid: number; parent: number; command: string; isMarked: boolean };

function leftovers(): Process[] {
  const all = new Map(readProcesses().map((found) => [found.pid, found]));
  const isBelow = (found: Process | undefined, pid: number): boolean =>
    found !== undefined && (found.pid === pid || isBelow(all.get(found.parent), pid));
  const isBelowMarked = (found: Process | undefined): boolean =>
    found !== undefined && (found.isMarked || isBelowMarked(all.get(found.parent)));
  return [...all.values()].filter(
    (found) =>
      isBelowMarked(found) &&
      // Its Postgres too, which is stopped.
      !isBelow(found, process.pid) &&
      !(isOrderly && isBelow(found, Number(run))),
  );
}

/** On systems without /proc no processes are found; only Postgres and the folder are removed. */
function readProcesses(): Process[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc").flatMap((name) => {
    const pid = Number(name);
    const stat = Number.isNaN(pid) ? "" : readProc(pid, "stat");
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (stat === "" || state === "Z") return [];
    const command = readProc(pid, "cmdline").replaceAll("\0", " ").trim();
    const isMarked = command.includes(folder) || readProc(pid, "environ").includes(`TMPDIR=${folder}`);
    return [{ pid, parent: Number(parent), command, isMarked }];
  });
}

function readProc(pid: number, file: "stat" | "cmdline" | "environ"): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return ""; // It ended in the meantime, or is another user's.
  }
}
