/** A tool worker as a process, which can be started, killed and restarted. */
import { join } from "node:path";

import { createManagedProcess, findPort, HOST, type ManagedProcess, REPOSITORY } from "./managed-process.ts";

const MAIN = join(REPOSITORY, "tool-worker/src/main.ts");

export async function createWorkerProcess(options: {
  /** The server's URL. */
  server: string;
  /** The folder that its file tools are confined to. */
  root: string;
  /** A module with more tools. */
  tools: string;
  /** Variables for that module. */
  env: Readonly<Record<string, string>>;
  logFile: string;
}): Promise<ManagedProcess> {
  const { server, root, tools, env, logFile } = options;
  const health = `${HOST}:${await findPort()}`;
  return createManagedProcess({
    name: "the tool worker",
    args: [MAIN, "--server", server, "--root", root, "--tools", tools, "--health", health, "--name", "demo"],
    env,
    // 200 while it is connected to the server and takes jobs.
    healthUrl: `http://${health}/healthz`,
    logFile,
  });
}
