/** A server as a process, as `npm start` starts it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { plainEnvironment, REPOSITORY } from "./environment.ts";
import { profileArguments, profileEnvironment } from "./profile.ts";
import { lastLines, untilEnded } from "./program-process.ts";
import type { World } from "./world.ts";

export type ServerProcess = {
  readonly pid: number;
  readonly url: string;
  /** Its inspector, if requested. */
  inspectorUrl(): string;
  signal(signal: NodeJS.Signals): void;
  /** Ends it as an operator would. */
  stop(): Promise<void>;
};

/** Starts a server and returns once it listens.
 *  @param options.name the name of its log and its profile
 *  @param options.database the URL of a database, or the data directory of an embedded one */
export async function startServer(
  world: World,
  options: { name: string; database: { url: string } | { dataDir: string }; isInspected?: boolean },
): Promise<ServerProcess> {
  const { name, database, isInspected = false } = options;
  const logFile = join(world.folder, `${name}.log`);
  const log = openSync(logFile, "a");
  const child = spawn(
    process.execPath,
    [
      ...profileArguments(world),
      ...(isInspected ? ["--inspect=127.0.0.1:0"] : []),
      join(REPOSITORY, "server/src/main.ts"),
      "server",
      // It writes its URL to stdout, and ends with this process.
      "--attached",
      "--listen",
      "127.0.0.1:0",
      "--log-level",
      "warn",
      ...("dataDir" in database ? ["--data-dir", database.dataDir] : []),
    ],
    {
      cwd: REPOSITORY,
      // Not on the command line, where everyone could read the password.
      env: {
        ...plainEnvironment(),
        ...profileEnvironment(world, name),
        ...("url" in database ? { DATABASE_URL: database.url } : {}),
      },
      stdio: ["pipe", "pipe", log],
    },
  );
  closeSync(log);
  const stdin = child.stdin!;
  world.atEnd(() => untilEnded(child));
  world.atEnd(() => void stdin.end());
  child.on("error", () => undefined);
  stdin.on("error", () => undefined);
  const lines = createInterface({ input: child.stdout! });
  const [line] = (await Promise.race([once(lines, "line"), once(child, "exit")])) as [unknown];
  if (typeof line !== "string") throw new Error(`${name} ended\n${lastLines(logFile)}`);
  const { url } = JSON.parse(line) as { url: string };
  return {
    pid: child.pid!,
    url,
    inspectorUrl() {
      // The last match: servers of earlier rounds have written to the same log.
      const found = [...readFileSync(logFile, "utf8").matchAll(/Debugger listening on (ws:\S+)/g)].at(-1)?.[1];
      if (found === undefined) throw new Error(`${name} has no inspector`);
      return found;
    },
    signal: (signal) => void child.kill(signal),
    async stop() {
      stdin.end();
      await untilEnded(child);
    },
  };
}
