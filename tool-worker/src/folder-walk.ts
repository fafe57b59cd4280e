/** Walks the files below a folder, in the order of their paths, without following links. */
import { lstat, opendir } from "node:fs/promises";

import { type Folder, openFolder, pathIn } from "./root.ts";
import { isTemporaryName } from "./write-file.ts";

export type FoundFile = { folder: Folder; name: string; path: string; type: "file" | "link" | "other"; size: number };

export type WalkOptions = {
  /** Returns false to end the walk. */
  onFile(file: FoundFile): Promise<boolean>;
  signal: AbortSignal;
};

/** Folders of many generated files that are hardly ever of interest. */
const SKIPPED_FOLDERS: ReadonlySet<string> = new Set([".git", "node_modules"]);
/** Each level keeps a folder open. */
const DEPTH_MAX = 32;
/** A name takes about 100 bytes of memory while the folder is sorted. */
const NAMES_PER_FOLDER_MAX = 10_000;
/** Reading this many empty folders takes about a second. */
const FOLDERS_MAX = 10_000;

/** @returns whether everything was visited: false if `onFile` or a bound ended the walk, or a folder cannot be read */
export async function walkFolder(folder: Folder, { onFile, signal }: WalkOptions): Promise<boolean> {
  let folders = 0;
  let isWhole = true;

  /** Returns whether to continue. */
  async function walk(current: Folder, depth: number): Promise<boolean> {
    signal.throwIfAborted();
    if (++folders > FOLDERS_MAX) return false;
    for (const name of await namesIn(current)) {
      const stats = await lstat(current.systemPath(name)).catch(() => undefined);
      if (stats === undefined) {
        // Deleted in the meantime, or its name is not UTF-8 and cannot be represented.
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
      // Replaced by a link in the meantime, or not readable for this process.
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
