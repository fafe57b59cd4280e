/** Loads modules with the user's own tools. */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

import type { Tool } from "@abstractruntime/sdk";

import { UsageError } from "./program.ts";

/** Time for a module to load, including any top-level await. */
const LOAD_MS_MAX = 30_000;

/** Loads the default export, an array of `tool(…)`, of each module.
 *  @param takenNames the names of existing tools
 *  @throws {UsageError} if a module cannot be loaded, has no such export, or uses a taken name */
export async function loadTools(
  paths: readonly string[],
  takenNames: readonly string[],
  loadMsMax = LOAD_MS_MAX,
): Promise<Tool[]> {
  const owners = new Map(takenNames.map((name) => [name, "built in"]));
  const tools: Tool[] = [];
  for (const path of paths) {
    for (const found of await loadModule(path, loadMsMax)) {
      const owner = owners.get(found.name);
      if (owner !== undefined) {
        const where = owner === path ? "another tool of the module" : owner === "built in" ? "a built-in tool" : owner;
        throw new UsageError(`${path}: the tool name ${JSON.stringify(found.name)} is already taken by ${where}`);
      }
      owners.set(found.name, path);
      tools.push(found);
    }
  }
  return tools;
}

async function loadModule(path: string, loadMsMax: number): Promise<Tool[]> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new UsageError(`${path}: the module did not load within ${loadMsMax / 1_000} s`)),
    loadMsMax,
  );
  let module: { default?: unknown };
  try {
    // Node would wait for a FIFO without end, and read a device without end.
    const stats = await stat(path);
    if (!stats.isFile()) throw new UsageError(`${path}: the module is not a regular file`);
    const loading = import(pathToFileURL(resolve(path)).href) as Promise<{ default?: unknown }>;
    module = await Promise.race([loading, late.promise]);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${path}: the module cannot be loaded: ${shown(error)}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
  const found = module.default;
  if (!Array.isArray(found)) {
    throw new UsageError(`${path}: the module's default export must be an array of tool(…)`);
  }
  const stranger = found.findIndex((candidate) => !isTool(candidate));
  if (stranger >= 0) {
    throw new UsageError(`${path}: item ${stranger} of the default export was not made by tool(…)`);
  }
  return found as Tool[];
}

/** Checks the shape, not the class: the module may have its own copy of the SDK. */
function isTool(candidate: unknown): boolean {
  if (typeof candidate !== "object" || candidate === null) return false;
  const { name, version, description, call } = candidate as Record<string, unknown>;
  return [name, version, description].every((text) => typeof text === "string") && typeof call === "function";
}

/** The stack, if there is one: it says where the module failed. */
function shown(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
