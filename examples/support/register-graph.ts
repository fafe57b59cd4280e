/** Registers a graph with the command line, as a user would: it reads YAML, and reports problems with line and
 *  column. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

import { REPOSITORY } from "./managed-process.ts";

const CLI = join(REPOSITORY, "server/src/main.ts");

/** Returns a description of the registered workflow. */
export async function registerGraph(url: string, file: string, signal: AbortSignal): Promise<string> {
  const args = [CLI, "workflow", "register", file, "--server", url, "--json"];
  const { stdout } = await promisify(execFile)(process.execPath, args, { signal });
  const { workflows } = JSON.parse(stdout) as { workflows: { workflowId: string; version: number; nodes: object }[] };
  const [workflow] = workflows;
  if (workflow === undefined) throw new Error("the graph was not registered");
  return `${workflow.workflowId} version ${workflow.version}, ${Object.keys(workflow.nodes).length} nodes`;
}
