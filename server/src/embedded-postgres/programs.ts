import { spawn } from "node:child_process";
import * as fs from "node:fs/promises";
import path from "node:path";

import { processExists } from "./processes.ts";

/** The user that runs a program. Postgres refuses to run as root. */
export type Account = { uid: number; gid: number; name: string };

type RunOptions = { account?: Account | undefined; signal?: AbortSignal; descriptors?: readonly number[] };

/** Runs a short program to its end. `code` is undefined if it was killed or could not be executed. */
export async function runProgram(
  program: string,
  args: readonly string[],
  { account, signal, descriptors = [] }: RunOptions = {},
): Promise<{ code: number | undefined; output: string }> {
  return await new Promise((resolve) => {
    let output = "";
    try {
      const child = spawn(program, args, {
        ...spawnSettings(account),
        ...(signal ? { signal } : {}),
        stdio: ["ignore", "pipe", "pipe", ...descriptors],
      });
      child.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
      child.stderr?.on("data", (chunk: Buffer) => (output += chunk.toString()));
      child.on("error", (error) => resolve({ code: undefined, output: `${output}${error.message}` }));
      child.on("close", (code) => resolve({ code: code ?? undefined, output: output.trim() }));
    } catch (error) {
      resolve({ code: undefined, output: String(error) });
    }
  });
}

/** The spawn options of every Postgres program: the account, a working folder that it can enter, a bare environment. */
export function spawnSettings(account: Account | undefined) {
  return {
    ...(account ? { uid: account.uid, gid: account.gid } : {}),
    cwd: path.parse(process.execPath).root,
    env: bareEnvironment(),
  };
}

/** Without PG…, LC_… and the server's secrets. Messages of Postgres must be in English: the supervisor parses them. */
function bareEnvironment(): NodeJS.ProcessEnv {
  const kept = ["PATH", "LD_LIBRARY_PATH", "TMPDIR"];
  const environment: NodeJS.ProcessEnv = { LC_ALL: "C", TZ: "UTC" };
  for (const name of kept) if (process.env[name] !== undefined) environment[name] = process.env[name];
  return environment;
}

/** Removes drafts (`<prefix><pid>-…`) whose process is dead. A draft that cannot be removed is tried again next
 *  time. */
export async function sweepAbandoned(folder: string, prefix: string): Promise<void> {
  for (const name of await fs.readdir(folder)) {
    const pid = name.startsWith(prefix) ? Number.parseInt(name.slice(prefix.length), 10) : Number.NaN;
    if (Number.isNaN(pid) || processExists(pid)) continue;
    await fs.rm(path.join(folder, name), { recursive: true, force: true }).catch(() => {});
  }
}

export function lastLines(text: string, count: number): string {
  return text.trim().split("\n").slice(-count).join("\n");
}
