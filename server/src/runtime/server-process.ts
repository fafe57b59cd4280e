/** The server as a child process: started, heard and ended. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import type { Announcement } from "../serve.ts";

export type ServerProcess = {
  /** What it said when it listened; undefined before. */
  readonly announcement: Announcement | undefined;
  /** Waits until it listens.
   *  @throws it ended before, or the signal's reason */
  listening(signal: AbortSignal): Promise<Announcement>;
  /** Aborts when it has ended. */
  readonly ended: AbortSignal;
  /** The last lines of its log. */
  lastWords(): string;
  /** Tells it to stop, and kills it if it has not ended after `boundMs`.
   *  @returns whether it stopped cleanly */
  end(boundMs: number): Promise<boolean>;
};

/** The same from the sources and from the package. */
const COMMAND = fileURLToPath(new URL("../../bin/abstractruntime.mjs", import.meta.url));

/** Enough for the message of a failed start with a stack trace. */
const LAST_LINES = 20;
/** A line of the log holds no payloads; one that is longer is cut. */
const LINE_CHARS_MAX = 4_096;

/** Starts `abstractruntime server --attached` with these arguments. */
export function spawnServer(args: readonly string[]): ServerProcess {
  const child = spawn(process.execPath, [COMMAND, "server", "--attached", ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: environmentWithoutOurs(),
    // A group of its own: Ctrl-C at the terminal is this program's to handle, and its end is the server's.
    detached: true,
    windowsHide: true,
  });
  const lines: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    process.stderr.write(`${line}\n`);
    lines.push(line.slice(0, LINE_CHARS_MAX));
    if (lines.length > LAST_LINES) lines.shift();
  });
  // It is read no more if it has ended.
  child.stdin.on("error", () => {});

  let announcement: Announcement | undefined;
  const announced = new Promise<Announcement>((resolve) => {
    createInterface({ input: child.stdout }).once("line", (line) => {
      announcement = JSON.parse(line) as Announcement;
      resolve(announcement);
    });
  });
  const ending = new AbortController();
  const closed = new Promise<void>((resolve) => {
    const end = (reason: string) => {
      ending.abort(new Error(reason));
      resolve();
    };
    child.once("error", (error) => end(`it cannot be executed: ${error.message}`));
    // Not `exit`: what it wrote last is read by then.
    child.once("close", (code, signal) => end(`it ended with ${signal ?? code}`));
  });

  return {
    get announcement() {
      return announcement;
    },
    listening: (signal) => Promise.race([announced, rejectionOf(AbortSignal.any([signal, ending.signal]))]),
    ended: ending.signal,
    lastWords: () => lines.join("\n"),
    async end(boundMs) {
      child.stdin.end();
      const kill = setTimeout(() => child.kill("SIGKILL"), boundMs);
      await closed;
      clearTimeout(kill);
      return child.exitCode === 0;
    },
  };
}

function rejectionOf(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const rejectNow = () => reject(signal.reason as Error);
    if (signal.aborted) rejectNow();
    else signal.addEventListener("abort", rejectNow, { once: true });
  });
}

/** What the program is configured with is not meant for this server: a DATABASE_URL is usually the program's own database. */
function environmentWithoutOurs(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env);
  return Object.fromEntries(
    entries.filter(([name]) => name !== "DATABASE_URL" && !name.startsWith("ABSTRACTRUNTIME_")),
  );
}
