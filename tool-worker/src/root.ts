/** The folder that the file tools are confined to.
 *
 *  On Linux each name of a path is opened separately, relative to its open parent folder (through `/proc/self/fd`, as
 *  openat(2) does) and without following symbolic links. So nobody can redirect an access out of the root by renaming
 *  folders or replacing them with links at the same time. Elsewhere the names are opened by their full path, and
 *  checked before and after: a link that exists only in between is not detected.
 *
 *  Hard links and mounts inside the root are not detected. Anyone who can create those can access the files anyway. */
import { constants, existsSync } from "node:fs";
import { type FileHandle, lstat, mkdir, open, realpath } from "node:fs/promises";
import { join } from "node:path";

import { ToolError } from "@abstractruntime/sdk";

/** A folder inside the root, held open. */
export type Folder = {
  /** Relative to the root, names separated by `/`; empty for the root. */
  readonly path: string;
  readonly handle: FileHandle;
  /** A path by which the operating system finds this folder, or a name in it, even if the folder was moved. */
  systemPath(name?: string): string;
};

export type Root = {
  /** The absolute path of the root. */
  readonly path: string;
  /** Calls `use` with the folder at `path`; it is closed afterwards.
   *  @param options.create whether to create missing folders
   *  @throws {ToolError} PATH_REFUSED, FILE_NOT_FOUND, NOT_A_FOLDER, ACCESS_REFUSED */
  withFolder<T>(path: string, use: (folder: Folder) => Promise<T>, options?: { create?: boolean }): Promise<T>;
  /** The same, with the parent folder of `path` and the last name of `path`.
   *  @throws {ToolError} as `withFolder`; PATH_REFUSED if the path has no name */
  withParent<T>(
    path: string,
    use: (folder: Folder, name: string) => Promise<T>,
    options?: { create?: boolean },
  ): Promise<T>;
};

/** The limit of Linux. */
const PATH_BYTES_MAX = 4_096;
/** Each name is opened in turn; deeper trees are mistakes. */
const PATH_NAMES_MAX = 64;

const HAS_FD_PATHS = existsSync("/proc/self/fd");
const FOLDER_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Non-blocking: opening a FIFO without a writer would block for ever. */
const FILE_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** @throws {Error} if the root is not a readable folder */
export async function openRoot(rootPath: string): Promise<Root> {
  // Links in the root's own path are allowed: the user who started the worker chose it.
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
      if (name === undefined)
        throw new ToolError("PATH_REFUSED", "the path does not name a file", { nonRetryable: true });
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
  // Checked first, because opening a device may have side effects.
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
  if (path.includes("\0")) refuse("a path must not contain NUL");
  if (path.startsWith("/")) refuse("a path must be relative to the root");
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) refuse(`a path must have at most ${PATH_BYTES_MAX} bytes`);
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) refuse("a path must not contain ..");
  if (names.length > PATH_NAMES_MAX) refuse(`a path must have at most ${PATH_NAMES_MAX} names`);
  return names;
}

function assertRegular(
  stats: { isFile(): boolean; isDirectory(): boolean; isSymbolicLink(): boolean },
  path: string,
): void {
  if (stats.isFile()) return;
  const what = stats.isDirectory() ? "a folder" : stats.isSymbolicLink() ? "a symbolic link" : "not a regular file";
  throw new ToolError("NOT_A_FILE", `${path} is ${what}`, { nonRetryable: true });
}

/** Checks that the opened file is still at its path; closes it if not.
 *  @throws {ToolError} PATH_REFUSED */
async function assertInPlace(handle: FileHandle, systemPath: string, path: string): Promise<void> {
  try {
    const [opened, found, real] = await Promise.all([handle.stat(), lstat(systemPath), realpath(systemPath)]);
    if (opened.ino === found.ino && opened.dev === found.dev && real === systemPath) return;
  } catch {
    // It was deleted, which is reported in the same way.
  }
  await handle.close();
  throw new ToolError("PATH_REFUSED", `${path} was replaced while it was opened`);
}

const REFUSALS: Readonly<Record<string, [code: string, text: string]>> = {
  ENOENT: ["FILE_NOT_FOUND", "does not exist"],
  // Opening a link as a folder fails with this code too.
  ENOTDIR: ["NOT_A_FOLDER", "is not a folder, or is a symbolic link"],
  ELOOP: ["PATH_REFUSED", "is a symbolic link"],
  EACCES: ["ACCESS_REFUSED", "cannot be accessed: permission denied"],
  EPERM: ["ACCESS_REFUSED", "cannot be accessed: permission denied"],
  EROFS: ["ACCESS_REFUSED", "is on a read-only file system"],
  ENAMETOOLONG: ["PATH_REFUSED", "has a name that is too long"],
  EISDIR: ["NOT_A_FILE", "is a folder"],
  ENXIO: ["NOT_A_FILE", "is not a regular file"],
};

/** Translates errors of the operating system, whose own messages contain absolute paths, to paths relative to the
 *  root. */
export function fail(path: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof ToolError) throw error;
    const shown = path === "" ? "the root" : path;
    const refusal = REFUSALS[codeOf(error) ?? ""];
    if (refusal !== undefined) throw new ToolError(refusal[0], `${shown} ${refusal[1]}`, { nonRetryable: true });
    throw new ToolError("FILE_FAILED", `${shown}: ${codeOf(error) ?? "file system error"}`, { cause: error });
  };
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
