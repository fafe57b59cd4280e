import { RE2JS } from "re2js";
import { tool, ToolError } from "@abstractruntime/sdk";

import { wholeCharacters } from "./bounded-text.ts";
import { type FoundFile, walkFolder } from "./folder-walk.ts";
import { openFile, type Root } from "./root.ts";

/** The most matching lines of one result, each cut: in total about half of a result's limit. */
const MATCHES_MAX = 500;
const LINE_SHOWN_CHARS_MAX = 300;
/** Total size of the paths of the matches. */
const PATH_BYTES_MAX = 128 * 1024;
/** Larger files are usually data, not written text. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;
/** Total size of all searched files: some seconds of reading and matching. */
const BYTES_MAX = 64 * 1024 * 1024;
/** How much of a line is searched: with the largest pattern that takes less than 100 ms. */
const LINE_CHARS_MAX = 10_000;
const PATTERN_CHARS_MAX = 1_000;
/** RE2 instructions: each costs up to 50 ns per character. */
const PATTERN_INSTRUCTIONS_MAX = 200;
/** After this time the search ends. */
const SEARCH_MS_MAX = 20_000;
/** How often other jobs of the worker get a turn. */
const TURN_MS = 10;

const UTF8 = new TextDecoder("utf-8", { fatal: true });

type Match = { path: string; line: number; text: string };

export function searchTextTool(root: Root) {
  return tool(
    {
      name: "search_text",
      description:
        "Finds the lines of text files that match a regular expression (RE2 syntax; (?i) ignores case). " +
        "Files that are not UTF-8 or larger than 4 MiB, and folders named .git and node_modules, are skipped. " +
        "`truncated` is true if not everything was searched or shown.",
      input: {
        type: "object",
        properties: {
          pattern: { type: "string", minLength: 1, maxLength: PATTERN_CHARS_MAX },
          path: { type: "string", description: "A folder or a file, relative to the root. Default: the root." },
        },
        required: ["pattern"],
        additionalProperties: false,
      },
    },
    async ({ pattern, path = "" }: { pattern: string; path?: string }, { signal }) => {
      const search = createSearch(compile(pattern), signal);
      const isWhole = await searchPath(root, path, search, signal);
      const { matches, filesSearched, isCut } = search.outcome();
      return { matches, files_searched: filesSearched, truncated: !isWhole || isCut };
    },
  );
}

function compile(pattern: string): RE2JS {
  const refuse = (why: string) => new ToolError("PATTERN_INVALID", why, { nonRetryable: true });
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(pattern);
  } catch (error) {
    throw refuse(error instanceof Error ? error.message : "the pattern cannot be parsed");
  }
  if (compiled.programSize() > PATTERN_INSTRUCTIONS_MAX) throw refuse("the pattern is too large");
  return compiled;
}

async function searchPath(root: Root, path: string, search: Search, signal: AbortSignal): Promise<boolean> {
  const walk = () => root.withFolder(path, (folder) => walkFolder(folder, { signal, onFile: search.onFile }));
  if (path === "") return walk();
  try {
    return await walk();
  } catch (error) {
    if (!(error instanceof ToolError) || error.code !== "NOT_A_FOLDER") throw error;
  }
  return root.withParent(path, async (folder, name) => {
    // Fails with the reason if it is not a file.
    const handle = await openFile(folder, name);
    const { size } = await handle.stat();
    await handle.close();
    return search.onFile({ folder, name, path, type: "file", size });
  });
}

type Search = {
  /** Returns whether to continue. */
  onFile(file: FoundFile): Promise<boolean>;
  outcome(): { matches: Match[]; filesSearched: number; isCut: boolean };
};

function createSearch(pattern: RE2JS, signal: AbortSignal): Search {
  const matches: Match[] = [];
  const endsAt = performance.now() + SEARCH_MS_MAX;
  let turnEndsAt = performance.now() + TURN_MS;
  let bytesLeft = BYTES_MAX;
  let pathBytesLeft = PATH_BYTES_MAX;
  let filesSearched = 0;
  let isCut = false;

  /** Returns whether to continue. */
  async function searchText(text: string, path: string): Promise<boolean> {
    let line = 0;
    for (const content of linesOf(text)) {
      line += 1;
      if (performance.now() > turnEndsAt) {
        await new Promise((resolve) => setImmediate(resolve));
        signal.throwIfAborted();
        if (performance.now() > endsAt) return false;
        turnEndsAt = performance.now() + TURN_MS;
      }
      if (content.length > LINE_CHARS_MAX) isCut = true;
      if (!pattern.test(content.slice(0, LINE_CHARS_MAX))) continue;
      pathBytesLeft -= Buffer.byteLength(path);
      if (matches.length >= MATCHES_MAX || pathBytesLeft < 0) return false;
      matches.push({ path, line, text: wholeCharacters(content.slice(0, LINE_SHOWN_CHARS_MAX)) });
    }
    return true;
  }

  return {
    async onFile({ folder, name, path, type, size }) {
      signal.throwIfAborted();
      if (type !== "file") return true;
      if (size > FILE_BYTES_MAX) {
        isCut = true;
        return true;
      }
      bytesLeft -= size;
      if (bytesLeft < 0) return false;
      const text = await readWhole(folder, name);
      if (text === undefined) return true;
      filesSearched += 1;
      return searchText(text, path);
    },
    outcome: () => ({ matches, filesSearched, isCut }),
  };
}

/** The file's text; undefined if it is not text, was deleted, or cannot be read. */
async function readWhole(folder: FoundFile["folder"], name: string): Promise<string | undefined> {
  let handle;
  try {
    handle = await openFile(folder, name);
    const buffer = Buffer.alloc(Math.min((await handle.stat()).size, FILE_BYTES_MAX));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
    const bytes = buffer.subarray(0, bytesRead);
    return bytes.includes(0) ? undefined : UTF8.decode(bytes);
  } catch {
    return undefined;
  } finally {
    await handle?.close();
  }
}

/** Yields lines one at a time: a list of all lines of 4 MiB would take much more memory. */
function* linesOf(text: string): Generator<string> {
  let begin = 0;
  while (begin < text.length) {
    const newline = text.indexOf("\n", begin);
    const end = newline === -1 ? text.length : newline;
    yield text.slice(begin, text[end - 1] === "\r" && end > begin ? end - 1 : end);
    begin = end + 1;
  }
}
