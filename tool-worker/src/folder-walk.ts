/** Goes through the files below a folder, in the order of their paths, without following links. */
import { lstat, opendir } from "node:fs/promises";

import { type Folder, openFolder, pathIn } from "./root.ts";
import { isTemporaryName } from "./write-file.ts";

export type FoundFile = { folder: Folder; name: string; path: string; type: "file" | "link" | "other"; size: number };

export type WalkOptions = {
  /** Returns false to end the walk. */
  onFile(file: FoundFile): Promise<boolean>;
  signal: AbortSignal;
};

/** Machines write these, and there are many: nobody asks for them. */
const SKIPPED_FOLDERS: ReadonlySet<string> = new Set([".git", "node_modules"]);
/** Each level holds a folder open. */
const DEPTH_MAX = 32;
/** A name is about 100 bytes while the folder is sorted. */
const NAMES_PER_FOLDER_MAX = 10_000;
/** A second or so of reading folders that hold nothing. */
const FOLDERS_MAX = 10_000;

/** @returns whether everything was seen: false if `onFile` or a bound ended it, or a folder cannot be read */
export async function walkFolder(folder: Folder, { onFile, signal }: WalkOptions): Promise<boolean> {
  let folders = 0;
  let isWhole = true;

  /** Whether to go on. */
  async function walk(current: Folder, depth: number): Promise<boolean> {
    signal.throwIfAborted();
    if (++folders > FOLDERS_MAX) return false;
    for (const name of await namesIn(current)) {
      const stats = await lstat(current.systemPath(name)).catch(() => undefined);
      if (stats === undefined) {
        // Gone meanwhile, or its name is no UTF-8 and cannot be said here.
        if (name.includes("\uFFFD")) isWhole = false;
        continue;
      }
      if (stats.isDirectory()) {
        if (SKIPPED_FOLDERS.has(name)) continue;
        if (!(await walkInto(current, name, depth))) return false;
        continue;
      }
      const type = stats.isFile() ? "file" : stats.isSymbolicLink() ? "link" : "other";
      if (!(await onFile({ folder: current, name, path: pathIn(current, name), type, size: stats.size }))) return false;
    }
    return true;
  }

  async function walkInto(parent: Folder, name: string, depth: number): Promise<boolean> {
    if (depth >= DEPTH_MAX) {
      isWhole = false;
      return true;
    }
    let inner: Folder;
    try {
      inner = await openFolder(parent, name);
    } catch {
      // Replaced by a link meanwhile, or not ours to read.
      isWhole = false;
      return true;
    }
    try {
      return await walk(inner, depth + 1);
    } finally {
      await inner.handle.close();
    }
  }

  async function namesIn(current: Folder): Promise<string[]> {
    const names: string[] = [];
    for await (const { name } of await opendir(current.systemPath())) {
      if (isTemporaryName(name)) continue;
      if (names.length >= NAMES_PER_FOLDER_MAX) {
        isWhole = false;
        break;
      }
      names.push(name);
    }
    return names.toSorted((a, b) => (a < b ? -1 : 1));
  }

  const isFinished = await walk(folder, 0);
  return isFinished && isWhole;
}
