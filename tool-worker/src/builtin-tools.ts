/** The built-in tools of a tool worker. */
import type { Tool } from "@abstractruntime/sdk";

import { fetchUrlTool } from "./fetch-url.ts";
import { listFilesTool } from "./list-files.ts";
import { readFileTool } from "./read-file.ts";
import type { Root } from "./root.ts";
import { searchTextTool } from "./search-text.ts";
import { writeFileTool } from "./write-file.ts";

/** @param options.allowPrivate whether fetch_url may reach any address */
export function builtinTools(root: Root, { allowPrivate }: { allowPrivate: boolean }): Tool[] {
  return [
    listFilesTool(root),
    readFileTool(root),
    searchTextTool(root),
    writeFileTool(root),
    fetchUrlTool(allowPrivate ? { isAllowed: () => true } : {}),
  ];
}
