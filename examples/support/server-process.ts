/** A server with its embedded Postgres, which can be started, killed, and restarted on one data directory. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { createManagedProcess, findPort, HOST, REPOSITORY, sendKill } from "./managed-process.ts";

const MAIN = join(REPOSITORY, "server/src/main.ts");

export type ServerProcess = {
  readonly url: string;
  /** Starts the server and returns once it answers. @throws {Error} with the end of its log if it does not */
  start: (signal: AbortSignal) => Promise<{ serverPid: number; databasePid: number; readyMs: number }>;
  /** SIGKILL to the server and its database at once. Synchronous, so that it can run while this process exits. */
  kill: () => { serverPid: number; databasePid: number };
  /** Stops the server cleanly, or by force if that takes too long. Leaves no process behind. */
  stop: () => Promise<void>;
};

export async function createServerProcess(options: { dataDir: string; logFile: string }): Promise<ServerProcess> {
  const { dataDir, logFile } = options;
  const listen = `${HOST}:${await findPort()}`;
  const url = `http://${listen}`;
  const server = createManagedProcess({
    name: "the server",
    args: [MAIN, "server", "--data-dir", dataDir, "--listen", listen],
    healthUrl: `${url}/healthz`,
    logFile,
  });

  function kill() {
    const databasePid = postmasterOf(dataDir);
    const serverPid = server.kill();
    if (databasePid > 0) sendKill(databasePid);
    return { serverPid, databasePid };
  }

  return {
    url,
    kill,
    async start(signal) {
      const { pid, readyMs } = await server.start(signal);
      return { serverPid: pid, databasePid: postmasterOf(dataDir), readyMs };
    },
    async stop() {
      await server.stop();
      kill();
    },
  };
}

/** The pid of the database that runs in a data directory; 0 if there is none. */
function postmasterOf(dataDir: string): number {
  let text: string;
  try {
    text = readFileSync(join(dataDir, "postgres/data/postmaster.pid"), "utf8");
  } catch {
    return 0;
  }
  const pid = Number(text.split("\n")[0]);
  // The file survives a killed database, and its pid may then belong to another process.
  return Number.isInteger(pid) && pid > 1 && commandOf(pid).includes("postgres") ? pid : 0;
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return spawnSync("ps", ["-o", "command=", "-p", String(pid)], { encoding: "utf8" }).stdout ?? "";
  }
}
