/** A program of `programs/` as a process, and requests to it. `programs/program.ts` is the other half. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { plainEnvironment, REPOSITORY } from "./environment.ts";
import { profileArguments, profileEnvironment } from "./profile.ts";
import type { World } from "./world.ts";

/** A program that is told to end has nothing left to do, except that writing its CPU profile may take a second. */
const STOP_MS_MAX = 15_000;
const LOG_LINES_SHOWN = 15;

export type ProgramProcess = {
  readonly pid: number;
  /** Sends a request and returns the answer. @throws {Error} if the program failed or ended */
  ask<Reply = void>(request: string, argument?: object): Promise<Reply>;
  signal(signal: NodeJS.Signals): void;
  /** Ends it, by force if that takes too long. */
  stop(): Promise<void>;
};

export type ProgramMessage = { id: number; value?: unknown; error?: string };

/** Starts a program and returns once it is ready.
 *  @param options.name the name of its log and its profile
 *  @param options.argument the program's argument; JSON */
export async function startProgram(
  world: World,
  options: { name: string; program: string; argument: object },
): Promise<ProgramProcess> {
  const { name, program, argument } = options;
  const logFile = join(world.folder, `${name}.log`);
  const log = openSync(logFile, "a");
  const child = spawn(
    process.execPath,
    [...profileArguments(world), join(import.meta.dirname, "programs", `${program}.ts`), JSON.stringify(argument)],
    {
      cwd: REPOSITORY,
      env: { ...plainEnvironment(), ...profileEnvironment(world, name) },
      stdio: ["ignore", log, log, "ipc"],
    },
  );
  closeSync(log);
  world.atEnd(() => void child.kill("SIGKILL"));
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let lastId = 0;
  child.on("error", () => undefined);
  child.on("message", ({ id, value, error }: ProgramMessage) => {
    const request = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) request?.resolve(value);
    else request?.reject(new Error(`${name}: ${error}`));
  });
  child.once("exit", () => {
    for (const { reject } of waiting.values()) reject(new Error(`${name} ended\n${lastLines(logFile)}`));
    waiting.clear();
  });
  const reply = (id: number): Promise<unknown> =>
    new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
  // Its first message, number 0, means that it is ready.
  await reply(0);
  return {
    pid: child.pid!,
    async ask<Reply>(request: string, argument: object = {}) {
      lastId += 1;
      const answer = reply(lastId);
      child.send({ id: lastId, request, argument });
      return (await answer) as Reply;
    },
    signal: (signal) => void child.kill(signal),
    async stop() {
      if (isAlive(child) && child.connected) child.disconnect();
      await untilEnded(child);
    },
  };
}

export async function untilEnded(child: ChildProcess): Promise<void> {
  if (!isAlive(child)) return;
  const ended = once(child, "exit");
  const inTime = await Promise.race([ended.then(() => true), sleep(STOP_MS_MAX, false, { ref: false })]);
  if (!inTime) child.kill("SIGKILL");
  await ended;
}

function isAlive(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

export function lastLines(file: string): string {
  return readFileSync(file, "utf8").trimEnd().split("\n").slice(-LOG_LINES_SHOWN).join("\n");
}
