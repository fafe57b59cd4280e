import { tool } from "@abstractruntime/sdk";

import { walkFolder } from "./folder-walk.ts";
import type { Root } from "./root.ts";

/** Entries of one list. */
const ENTRIES_MAX = 5_000;
/** Total size of the paths of one list: half of a result's limit, since each entry also has a name, type and size. */
const PATH_BYTES_MAX = 256 * 1024;

type Entry = { path: string; name: string; type: "file" | "link" | "other"; size: number };

export function listFilesTool(root: Root) {
  return tool(
    {
      name: "list_files",
      description:
        "Lists all files below a folder, including its subfolders, ordered by path. Folders named .git and node_modules are " +
        "skipped. Links are listed but never followed. `truncated` is true if there is more.",
      input: {
        type: "object",
        properties: { path: { type: "string", description: "A folder, relative to the root. Default: the root." } },
        additionalProperties: false,
      },
    },
    async ({ path = "" }: { path?: string }, { signal }) =>
      root.withFolder(path, async (folder) => {
        const entries: Entry[] = [];
        let pathBytes = 0;
        const isWhole = await walkFolder(folder, {
          signal,
          onFile: async ({ path: filePath, name, type, size }) => {
            pathBytes += Buffer.byteLength(filePath) + Buffer.byteLength(name);
            if (entries.length >= ENTRIES_MAX || pathBytes > PATH_BYTES_MAX) return false;
            entries.push({ path: filePath, name, type, size });
            return true;
          },
        });
        return { path: folder.path, entries, truncated: !isWhole };
      }),
  );
}
