import type { FileHandle } from "node:fs/promises";

import { tool, ToolError } from "@abstractruntime/sdk";

import { cutToJsonBytes } from "./bounded-text.ts";
import { fail, openFile, pathIn, type Root } from "./root.ts";

/** The most bytes of one call: a workflow keeps the text in its vars, which are limited to 1 MiB. */
const LIMIT_MAX = 256 * 1024;
const LIMIT_DEFAULT = 64 * 1024;
/** Bytes of the text as a JSON string in the result. */
const TEXT_JSON_BYTES_MAX = 768 * 1024;
/** The most bytes of one character in UTF-8. */
const CHARACTER_BYTES_MAX = 4;

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function readFileTool(root: Root) {
  return tool(
    {
      name: "read_file",
      description:
        "Reads a text file (UTF-8), or a part of it. `size` is the size of the whole file; if `truncated`, continue at " +
        "`next_offset`.",
      input: {
        type: "object",
        properties: {
          path: { type: "string", description: "The file, relative to the root." },
          offset: {
            type: "integer",
            minimum: 0,
            maximum: Number.MAX_SAFE_INTEGER,
            description: "Where to start, in bytes. Default: 0.",
          },
          limit: {
            type: "integer",
            minimum: 1,
            maximum: LIMIT_MAX,
            description: `How many bytes. Default: ${LIMIT_DEFAULT}.`,
          },
        },
        required: ["path"],
        additionalProperties: false,
      },
    },
    async ({ path, offset = 0, limit = LIMIT_DEFAULT }: { path: string; offset?: number; limit?: number }) =>
      root.withParent(path, async (folder, name) => {
        const handle = await openFile(folder, name);
        try {
          const filePath = pathIn(folder, name);
          const { size } = await handle.stat();
          const { text, begin, end } = await readText(handle, { path: filePath, offset, limit });
          const truncated = end < size && end > begin;
          return { path: filePath, text, offset: begin, size, truncated, ...(truncated ? { next_offset: end } : {}) };
        } finally {
          await handle.close();
        }
      }),
  );
}

/** Reads whole characters only. A character that crosses an edge belongs to the part in which it begins.
 *  @throws {ToolError} FILE_NOT_TEXT */
async function readText(
  handle: FileHandle,
  { path, offset, limit }: { path: string; offset: number; limit: number },
): Promise<{ text: string; begin: number; end: number }> {
  const bytes = await readBytes(handle, path, offset, limit + CHARACTER_BYTES_MAX - 1);
  const skipped = offset === 0 ? 0 : continuationBytes(bytes, 0);
  // The first character after the limit begins the next part, unless the file ends earlier.
  const stop = bytes.length <= limit ? bytes.length : limit + continuationBytes(bytes, limit);
  const part = bytes.subarray(Math.min(skipped, stop), stop);
  const text = decode(part, path);
  const cut = cutToJsonBytes(text, TEXT_JSON_BYTES_MAX);
  const begin = offset + Math.min(skipped, stop);
  return { text: cut, begin, end: begin + (cut.length === text.length ? part.length : Buffer.byteLength(cut)) };
}

async function readBytes(handle: FileHandle, path: string, offset: number, limit: number): Promise<Buffer> {
  const buffer = Buffer.alloc(limit);
  let length = 0;
  while (length < limit) {
    const { bytesRead } = await handle.read(buffer, length, limit - length, offset + length).catch(fail(path));
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}

/** How many bytes at `from` belong to a character that began earlier. */
function continuationBytes(bytes: Uint8Array, from: number): number {
  let count = 0;
  while (count < CHARACTER_BYTES_MAX - 1 && (bytes[from + count] ?? 0) >> 6 === 0b10) count += 1;
  return count;
}

function decode(bytes: Uint8Array, path: string): string {
  try {
    if (!bytes.includes(0)) return UTF8.decode(bytes);
  } catch {
    // Reported below.
  }
  throw new ToolError("FILE_NOT_TEXT", `${path} is not UTF-8 text`, { nonRetryable: true });
}
