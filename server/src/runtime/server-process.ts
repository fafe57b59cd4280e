/** The server as a child process: its start, output and end. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import type { Announcement } from "../serve.ts";

export type ServerProcess = {
  /** Its announcement; undefined until it listens. */
  readonly announcement: Announcement | undefined;
  /** Waits until it listens.
   *  @throws {Error} if it ends before; the signal's reason if that is aborted */
  listening(signal: AbortSignal): Promise<Announcement>;
  /** Aborted when it has ended. */
  readonly ended: AbortSignal;
  /** The last lines of its log. */
  lastWords(): string;
  /** Stops it, and kills it if it has not ended after `boundMs`.
   *  @returns whether it stopped cleanly */
  end(boundMs: number): Promise<boolean>;
};

/** This path is valid both in the sources and in the package. */
const COMMAND = fileURLToPath(new URL("../../bin/abstractruntime.mjs", import.meta.url));

/** Enough for the message of a failed start, with its stack trace. */
const LAST_LINES = 20;
/** Log lines contain no payloads; a longer line is cut. */
const LINE_CHARS_MAX = 4_096;

/** Starts `abstractruntime server --attached` with these arguments. */
export function spawnServer(args: readonly string[]): ServerProcess {
  const child = spawn(process.execPath, [COMMAND, "server", "--attached", ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: environmentWithoutOurs(),
    // Its own process group: only this program receives Ctrl-C at the terminal, and its end stops the server.
    detached: true,
    windowsHide: true,
  });
  const lines: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    process.stderr.write(`${line}\n`);
    lines.push(line.slice(0, LINE_CHARS_MAX));
    if (lines.length > LAST_LINES) lines.shift();
  });
  // Writing to the stdin of a process that has ended fails.
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
    // Not `exit`: `close` comes after its last output has been read.
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

/** The environment without the server's variables: DATABASE_URL is usually the program's own database. */
function environmentWithoutOurs(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env);
  return Object.fromEntries(
    entries.filter(([name]) => name !== "DATABASE_URL" && !name.startsWith("ABSTRACTRUNTIME_")),
  );
}
