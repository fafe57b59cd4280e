/** A worker as a process that is killed and started again, always with the same proxies. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ambientEnvironment, REPOSITORY } from "../conformance/server.ts";
import type { WorkerArguments } from "./worker.ts";

const PROGRAM = fileURLToPath(new URL("worker.ts", import.meta.url));

export type WorkerProcess = {
  start(): void;
  /** Kills it with SIGKILL and returns after it is gone. Returns whether there was one. */
  kill(): Promise<boolean>;
  /** Lets it drain and end, and returns its exit code. */
  stop(): Promise<number | null>;
  /** How processes ended that were neither killed nor stopped. */
  readonly surprises: readonly string[];
};

/** @param logFile receives the logs of the processes, one after the other */
export function createWorkerProcess(workerArguments: WorkerArguments, logFile: string): WorkerProcess {
  const surprises: string[] = [];
  let child: ChildProcess | undefined;
  /** The child handles signals, or is gone: before that, SIGTERM would just kill it. */
  let listening: Promise<unknown> = Promise.resolve();
  // The last resort, if this process ends before it calls `kill`.
  process.once("exit", () => child?.kill("SIGKILL"));

  async function end(signal: NodeJS.Signals): Promise<number | null | undefined> {
    const ending = child;
    if (ending === undefined) return undefined;
    child = undefined;
    const exited = once(ending, "exit");
    ending.kill(signal);
    return ((await exited) as [number | null])[0];
  }

  return {
    surprises,
    start() {
      if (child !== undefined) return;
      const log = openSync(logFile, "a");
      const started = spawn(process.execPath, [PROGRAM, JSON.stringify(workerArguments)], {
        cwd: REPOSITORY,
        env: ambientEnvironment(),
        stdio: ["ignore", log, log, "ipc"],
      });
      closeSync(log);
      child = started;
      listening = Promise.race([once(started, "message"), once(started, "exit")]);
      started.once("exit", (code, signal) => {
        if (child !== started) return;
        child = undefined;
        surprises.push(`${workerArguments.name} ended by itself with ${code ?? signal}; see ${logFile}`);
      });
    },
    kill: async () => (await end("SIGKILL")) !== undefined,
    async stop() {
      await listening;
      return (await end("SIGTERM")) ?? null;
    },
  };
}
