import { RE2JS } from "re2js";
import { tool, ToolError } from "@abstractruntime/sdk";

import { wholeCharacters } from "./bounded-text.ts";
import { type FoundFile, walkFolder } from "./folder-walk.ts";
import { openFile, type Root } from "./root.ts";

/** Matching lines of one result, each cut: together about half of what a result may be. */
const MATCHES_MAX = 500;
const LINE_SHOWN_CHARS_MAX = 300;
/** The paths of the matches together. */
const PATH_BYTES_MAX = 128 * 1024;
/** Larger files are data, not text that somebody wrote. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;
/** All files together: some seconds of reading and matching. */
const BYTES_MAX = 64 * 1024 * 1024;
/** A line is searched so far: with the largest pattern that takes less than 100 ms. */
const LINE_CHARS_MAX = 10_000;
const PATTERN_CHARS_MAX = 1_000;
/** RE2 instructions: each costs up to 50 ns per character. */
const PATTERN_INSTRUCTIONS_MAX = 200;
/** After so long the rest is left out. */
const SEARCH_MS_MAX = 20_000;
/** Other jobs of the worker get their turn so often. */
const TURN_MS = 10;

const UTF8 = new TextDecoder("utf-8", { fatal: true });

type Match = { path: string; line: number; text: string };

export function searchTextTool(root: Root) {
  return tool(
    {
      name: "search_text",
      description:
        "Finds the lines of text files that match a regular expression (RE2 syntax; (?i) ignores case). " +
        "Files that are not UTF-8 or larger than 4 MiB, and folders named .git and node_modules, are left out. " +
        "`truncated` says that not everything was searched or shown.",
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
    throw refuse(error instanceof Error ? error.message : "the pattern cannot be read");
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
    // Says why if it is no file.
    const handle = await openFile(folder, name);
    const { size } = await handle.stat();
    await handle.close();
    return search.onFile({ folder, name, path, type: "file", size });
  });
}

type Search = {
  /** Whether to go on. */
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

  /** Whether to go on. */
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

/** The file's text; undefined if it is none, is gone, or has grown meanwhile. */
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

/** One at a time: a list of all lines of 4 MiB would take much more. */
function* linesOf(text: string): Generator<string> {
  let begin = 0;
  while (begin < text.length) {
    const newline = text.indexOf("\n", begin);
    const end = newline === -1 ? text.length : newline;
    yield text.slice(begin, text[end - 1] === "\r" && end > begin ? end - 1 : end);
    begin = end + 1;
  }
}
