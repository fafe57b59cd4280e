/** The four packages as users get them: packed by npm from a copy of the checkout, and installed in an empty folder. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";

import { REPOSITORY } from "../conformance/server.ts";

export const WORKSPACES = ["proto", "sdk-ts", "server", "tool-worker"] as const;

/** What packing needs of the checkout, besides the workspaces and the installed packages. */
const PACKING = ["package.json", "tsconfig.json", "LICENSE", "scripts/pack-workspace.ts"];

/** Well above what a command here takes, even npm with a cold cache: one that hangs should not delay the whole run. */
const COMMAND_MS_MAX = 100_000;

export type Outcome = { code: number | null; stdout: string; stderr: string };

/** Runs a command to its end, in a folder. */
export async function run(folder: string, program: string, ...args: string[]): Promise<Outcome> {
  const child = spawn(program, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"], timeout: COMMAND_MS_MAX });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { code: child.exitCode, stdout, stderr };
}

/**
 * Like `run`, for commands that must not fail.
 * @returns stdout
 */
export async function runWell(folder: string, program: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(folder, program, ...args);
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}:\n${stdout}${stderr}`);
  return stdout;
}

export async function makeFolder(name: string): Promise<string> {
  return await fs.realpath(await fs.mkdtemp(path.join(tmpdir(), `abstractruntime-test-${name}-`)));
}

/** Copies what packing needs: packing changes package.json for a moment, and other tests run in this checkout. */
export async function copyCheckout(): Promise<string> {
  const copy = await makeFolder("checkout");
  const isSource = (file: string) =>
    !/[/\\](?:node_modules|dist|\.[^/\\]*)(?:[/\\]|$)/.test(file.slice(REPOSITORY.length - 1));
  for (const name of [...PACKING, ...WORKSPACES]) {
    await fs.cp(path.join(REPOSITORY, name), path.join(copy, name), { recursive: true, filter: isSource });
  }
  const modules = path.join(copy, "node_modules");
  await fs.mkdir(path.join(modules, "@abstractruntime"), { recursive: true });
  for (const name of await fs.readdir(path.join(REPOSITORY, "node_modules"))) {
    if (name === "@abstractruntime") continue;
    await fs.symlink(path.join(REPOSITORY, "node_modules", name), path.join(modules, name));
  }
  for (const workspace of WORKSPACES) {
    const name = workspace === "sdk-ts" ? "sdk" : workspace;
    await fs.symlink(path.join(copy, workspace), path.join(modules, "@abstractruntime", name));
  }
  return copy;
}

/**
 * Packs the four packages.
 * @returns the tarballs
 */
export async function packAll(checkout: string, into: string): Promise<string[]> {
  await runWell(checkout, "npm", "pack", "--workspaces", "--pack-destination", into);
  const names = await fs.readdir(into);
  return names.map((name) => path.join(into, name));
}

/** Installs packages in an empty folder, without install scripts: the least that a user's npm does. */
export async function install(folder: string, packages: readonly string[]): Promise<void> {
  await fs.writeFile(path.join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
  const options = ["--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"];
  await runWell(folder, "npm", "install", ...options, ...packages);
}
