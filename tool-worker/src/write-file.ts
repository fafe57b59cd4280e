import { randomBytes } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { lstat, open, rename, unlink } from "node:fs/promises";

import { tool, ToolError } from "@abstractruntime/sdk";

import { codeOf, fail, type Folder, pathIn, type Root } from "./root.ts";

/** A killed worker may leave such a file; the tools hide it. */
const TEMPORARY_PREFIX = ".abstractruntime-";
const TEMPORARY_SUFFIX = ".tmp";
const NEW_FILE_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const NEW_FILE_MODE = 0o666;
const PERMISSIONS = 0o777;

export function isTemporaryName(name: string): boolean {
  return name.startsWith(TEMPORARY_PREFIX) && name.endsWith(TEMPORARY_SUFFIX);
}

export function writeFileTool(root: Root) {
  return tool(
    {
      name: "write_file",
      description:
        "Writes a whole text file (UTF-8), replacing an existing one. Missing folders are created. " +
        "Readers see the old file or the new one, never a part.",
      input: {
        type: "object",
        properties: {
          path: { type: "string", description: "The file, relative to the root." },
          content: { type: "string" },
        },
        required: ["path", "content"],
        additionalProperties: false,
      },
    },
    async ({ path, content }: { path: string; content: string }) => {
      assertWritable(path);
      return root.withParent(
        path,
        async (folder, name) => {
          await replaceFile(folder, name, Buffer.from(content)).catch(fail(pathIn(folder, name)));
          return { path: pathIn(folder, name), size: Buffer.byteLength(content) };
        },
        { create: true },
      );
    },
  );
}

/** Refuses paths in .git: git may run programs that it finds there, such as hooks, filters and pagers. */
function assertWritable(path: string): void {
  // Some file systems ignore case.
  if (path.toLowerCase().split("/").includes(".git")) {
    throw new ToolError("PATH_REFUSED", "writing below .git is not allowed", { nonRetryable: true });
  }
}

/** Writes a new file next to the old one, flushes it, and renames it, so that a recorded result survives a crash. */
async function replaceFile(folder: Folder, name: string, content: Buffer): Promise<void> {
  const before = await existing(folder, name);
  const temporary = folder.systemPath(`${TEMPORARY_PREFIX}${randomBytes(8).toString("hex")}${TEMPORARY_SUFFIX}`);
  const handle = await open(temporary, NEW_FILE_FLAGS, NEW_FILE_MODE);
  try {
    try {
      if (before !== undefined) await handle.chmod(before.mode & PERMISSIONS);
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    // Replaces a link itself, not its target.
    await rename(temporary, folder.systemPath(name));
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await folder.handle.sync();
}

async function existing(folder: Folder, name: string): Promise<Stats | undefined> {
  const stats = await lstat(folder.systemPath(name)).catch((error: unknown) => {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  });
  if (stats === undefined || stats.isFile()) return stats;
  throw new ToolError("NOT_A_FILE", `${pathIn(folder, name)} is not a regular file`, { nonRetryable: true });
}
