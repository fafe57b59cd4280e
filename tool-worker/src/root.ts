/** The folder that the file tools are confined to.
 *
 *  On Linux each name of a path is opened by itself, relative to the open folder before it (through `/proc/self/fd`, as openat(2)
 *  does) and without following symbolic links: whoever renames folders or puts links in their place meanwhile cannot lead an
 *  access out of the root. Elsewhere the same names are opened by their full path, and checked before and after: a link that is
 *  put in place and taken away in between is not noticed.
 *
 *  Not seen at all: hard links and mounts inside the root. Who can make those could read and write the files themselves. */
import { constants, existsSync } from "node:fs";
import { type FileHandle, lstat, mkdir, open, realpath } from "node:fs/promises";
import { join } from "node:path";

import { ToolError } from "@abstractruntime/sdk";

/** A folder inside the root, held open. */
export type Folder = {
  /** Relative to the root, names separated by `/`; empty for the root. */
  readonly path: string;
  readonly handle: FileHandle;
  /** A path by which the operating system finds this folder, or a name in it, wherever it was moved to. */
  systemPath(name?: string): string;
};

export type Root = {
  /** Where the root is. */
  readonly path: string;
  /** Calls `use` with the folder at `path`; it is closed afterwards.
   *  @param options.create makes folders that are missing
   *  @throws {ToolError} PATH_REFUSED, FILE_NOT_FOUND, NOT_A_FOLDER, ACCESS_REFUSED */
  withFolder<T>(path: string, use: (folder: Folder) => Promise<T>, options?: { create?: boolean }): Promise<T>;
  /** The same with the folder that the last name of `path` is in, and this name.
   *  @throws {ToolError} as `withFolder`; PATH_REFUSED if the path has no name */
  withParent<T>(
    path: string,
    use: (folder: Folder, name: string) => Promise<T>,
    options?: { create?: boolean },
  ): Promise<T>;
};

/** Linux takes no longer ones. */
const PATH_BYTES_MAX = 4_096;
/** Each name is an open folder, one after another; deeper trees are mistakes. */
const PATH_NAMES_MAX = 64;

const HAS_FD_PATHS = existsSync("/proc/self/fd");
const FOLDER_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** A FIFO without a writer would hold an open for ever. */
const FILE_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** @throws {Error} the root is no folder that can be read */
export async function openRoot(rootPath: string): Promise<Root> {
  // Links on the way to the root are whoever's who started the worker.
  const path = await realpath(rootPath);
  const probe = await open(path, FOLDER_FLAGS);
  await probe.close();

  async function withFolder<T>(
    relative: string,
    use: (folder: Folder) => Promise<T>,
    { create = false }: { create?: boolean } = {},
  ): Promise<T> {
    const names = namesOf(relative);
    let folder = folderOf("", path, await open(path, FOLDER_FLAGS).catch(fail("")));
    try {
      for (const name of names) {
        const next = await openFolder(folder, name, create);
        await folder.handle.close();
        folder = next;
      }
      return await use(folder);
    } finally {
      await folder.handle.close();
    }
  }

  return {
    path,
    withFolder,
    async withParent(relative, use, options) {
      const names = namesOf(relative);
      const name = names.pop();
      if (name === undefined) throw new ToolError("PATH_REFUSED", "the path names no file", { nonRetryable: true });
      return withFolder(names.join("/"), (folder) => use(folder, name), options);
    },
  };
}

/** Opens a folder in a folder. Close its handle.
 *  @throws {ToolError} */
export async function openFolder(parent: Folder, name: string, create = false): Promise<Folder> {
  const path = pathIn(parent, name);
  const systemPath = parent.systemPath(name);
  if (create) {
    await mkdir(systemPath).catch((error: unknown) => {
      if (codeOf(error) !== "EEXIST") fail(path)(error);
    });
  }
  const handle = await open(systemPath, FOLDER_FLAGS).catch(fail(path));
  if (!HAS_FD_PATHS) await assertInPlace(handle, systemPath, path);
  return folderOf(path, systemPath, handle);
}

/** Opens a regular file in a folder for reading. Close the handle.
 *  @throws {ToolError} */
export async function openFile(parent: Folder, name: string): Promise<FileHandle> {
  const path = pathIn(parent, name);
  const systemPath = parent.systemPath(name);
  // Looked at first, because opening a device may do something.
  assertRegular(await lstat(systemPath).catch(fail(path)), path);
  const handle = await open(systemPath, FILE_FLAGS).catch(fail(path));
  if (!HAS_FD_PATHS) await assertInPlace(handle, systemPath, path);
  try {
    assertRegular(await handle.stat(), path);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The path, relative to the root, of a name in a folder. */
export function pathIn(folder: Folder, name: string): string {
  return folder.path === "" ? name : `${folder.path}/${name}`;
}

function folderOf(path: string, openedPath: string, handle: FileHandle): Folder {
  const ownPath = HAS_FD_PATHS ? `/proc/self/fd/${handle.fd}` : openedPath;
  return { path, handle, systemPath: (name) => (name === undefined ? `${ownPath}/.` : join(ownPath, name)) };
}

/** @throws {ToolError} PATH_REFUSED */
function namesOf(path: string): string[] {
  const refuse = (why: string): never => {
    throw new ToolError("PATH_REFUSED", `${why}: ${JSON.stringify(path.slice(0, 200))}`, { nonRetryable: true });
  };
  if (path.includes("\0")) refuse("a path has no NUL character");
  if (path.startsWith("/")) refuse("paths are relative to the root");
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) refuse(`a path has at most ${PATH_BYTES_MAX} bytes`);
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) refuse("a path does not lead upwards with ..");
  if (names.length > PATH_NAMES_MAX) refuse(`a path has at most ${PATH_NAMES_MAX} names`);
  return names;
}

function assertRegular(
  stats: { isFile(): boolean; isDirectory(): boolean; isSymbolicLink(): boolean },
  path: string,
): void {
  if (stats.isFile()) return;
  const what = stats.isDirectory() ? "a folder" : stats.isSymbolicLink() ? "a symbolic link" : "no regular file";
  throw new ToolError("NOT_A_FILE", `${path} is ${what}`, { nonRetryable: true });
}

/** What was opened still is where its path says; closes it if not.
 *  @throws {ToolError} PATH_REFUSED */
async function assertInPlace(handle: FileHandle, systemPath: string, path: string): Promise<void> {
  try {
    const [opened, found, real] = await Promise.all([handle.stat(), lstat(systemPath), realpath(systemPath)]);
    if (opened.ino === found.ino && opened.dev === found.dev && real === systemPath) return;
  } catch {
    // Gone, which is told in the same way.
  }
  await handle.close();
  throw new ToolError("PATH_REFUSED", `${path} was replaced meanwhile`);
}

const REFUSALS: Readonly<Record<string, [code: string, text: string]>> = {
  ENOENT: ["FILE_NOT_FOUND", "does not exist"],
  // Also what opening a link as a folder says.
  ENOTDIR: ["NOT_A_FOLDER", "is no folder, or a symbolic link"],
  ELOOP: ["PATH_REFUSED", "is a symbolic link"],
  EACCES: ["ACCESS_REFUSED", "may not be accessed"],
  EPERM: ["ACCESS_REFUSED", "may not be accessed"],
  EROFS: ["ACCESS_REFUSED", "may not be written"],
  ENAMETOOLONG: ["PATH_REFUSED", "has a name that is too long"],
  EISDIR: ["NOT_A_FILE", "is a folder"],
  ENXIO: ["NOT_A_FILE", "is no regular file"],
};

/** Tells errors of the operating system in terms of the root: their own messages name paths of the machine. */
export function fail(path: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof ToolError) throw error;
    const shown = path === "" ? "the root" : path;
    const refusal = REFUSALS[codeOf(error) ?? ""];
    if (refusal !== undefined) throw new ToolError(refusal[0], `${shown} ${refusal[1]}`, { nonRetryable: true });
    throw new ToolError("FILE_FAILED", `${shown}: ${codeOf(error) ?? "an error of the file system"}`, { cause: error });
  };
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
