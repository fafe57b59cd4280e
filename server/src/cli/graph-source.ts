/**
 * Parses the text of a graph, YAML 1.2 or JSON, strictly. Every value keeps its position, so that a problem can be
 * shown where it is in the text.
 */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node as YamlNode,
  type Pair,
  parseDocument,
} from "yaml";

import type { FieldProblem } from "../core/errors.ts";
import type { Json, JsonObject } from "../core/json/json.ts";
import { CliError } from "./failure.ts";
import { displayWidth, safeLine } from "./terminal.ts";

/** Longest text that is parsed, in UTF-16 units: four times the largest graph, for comments and white space. */
const SOURCE_CHARS_MAX = 4 * 1024 * 1024;
/** Values that aliases may add: graphs repeat a policy here and there, while a "billion laughs" attack needs
 *  millions. */
const ALIASED_NODES_MAX = 10_000;
/** How deep the text may nest: a payload's 32 levels inside the levels of a graph, with room to spare. */
const DEPTH_MAX = 64;
/** Problems that are shown; the others are only counted. */
const PROBLEMS_SHOWN_MAX = 50;
/** Columns of a source line that are shown around a problem. */
const EXCERPT_CHARS_MAX = 160;

/** A value in the text, with the offset at which it begins. */
export type SourceNode =
  | { kind: "map"; offset: number; entries: readonly SourceEntry[] }
  | { kind: "list"; offset: number; items: readonly SourceNode[] }
  | { kind: "scalar"; offset: number; value: null | boolean | number | string };
export type SourceEntry = { key: string; offset: number; node: SourceNode };

/** A problem at an offset in the text. `path` may be empty. */
export type SourceProblem = FieldProblem & { offset: number };

export type GraphSource = {
  root: SourceNode;
  /** The offset of a field path such as `nodes.ask.next[0].to`: of the value, or of its nearest existing parent. */
  locate(path: string): number;
  /** Formats problems as compilers do: `file:line:column: path: message`, the line, and a caret. */
  describe(problems: readonly SourceProblem[]): string;
};

/** Parses the text of a graph. Besides what YAML forbids, it refuses several documents, duplicate keys, tags,
 *  directives of other YAML versions, integers that a double cannot hold, infinities, lone surrogates, U+0000 and
 *  `__proto__`.
 *  @throws {CliError} with every problem and its position */
export function readGraphSource(name: string, text: string): GraphSource {
  if (text.length > SOURCE_CHARS_MAX)
    throw new CliError(`${name}: the file is longer than ${SOURCE_CHARS_MAX} characters`);
  const lines = new LineCounter();
  // A carriage return alone ends a line, too. The parser takes it for a part of the text: `1\r` would be a string.
  const document = parseDocument(text.replaceAll(/\r(?!\n)/g, "\n"), {
    lineCounter: lines,
    prettyErrors: false,
    // The parser would compare every pair of keys; SourceReader uses a set.
    uniqueKeys: false,
    stringKeys: true,
    intAsBigInt: true,
    resolveKnownTags: false,
  });
  const describe = (problems: readonly SourceProblem[]) => describeProblems(name, text, lines, problems);

  const problems = syntaxProblems(document);
  if (problems.length > 0) throw new CliError(describe(problems));
  const reader = new SourceReader();
  const root = reader.read(document.contents, 0);
  if (reader.problems.length > 0) throw new CliError(describe(reader.problems));
  if (name.endsWith(".json")) {
    const problem = jsonProblem(text);
    if (problem !== undefined) throw new CliError(describe([problem]));
  }
  return { root, locate: (path) => locate(root, path), describe };
}

/** The JSON value of a node. */
export function sourceJson(node: SourceNode): Json {
  switch (node.kind) {
    case "scalar":
      return node.value;
    case "list":
      return node.items.map(sourceJson);
    case "map": {
      const object: JsonObject = {};
      for (const entry of node.entries) object[entry.key] = sourceJson(entry.node);
      return object;
    }
  }
}

function syntaxProblems(document: Document): SourceProblem[] {
  // The parser only warns about an unknown tag, and reads the value without it.
  const found = [...document.errors, ...document.warnings];
  const tooDeep = found.find((error) => error.code === "RESOURCE_EXHAUSTION");
  if (tooDeep !== undefined) return [{ path: "", message: "is nested too deeply", offset: tooDeep.pos[0] }];
  const problems = found.map((error) => {
    const several = error.code === "MULTIPLE_DOCS";
    return {
      path: "",
      message: several ? "this is a second document; a file must have only one" : error.message,
      offset: error.pos[0],
    };
  });
  const { version, explicit } = document.directives?.yaml ?? { version: "1.2" };
  if (explicit === true && version !== "1.2")
    problems.unshift({ path: "", message: `YAML ${version} is not supported; use YAML 1.2`, offset: 0 });
  return problems;
}

/** The problem of a `.json` file that YAML allows but JSON does not. */
function jsonProblem(text: string): SourceProblem | undefined {
  try {
    JSON.parse(text.replace(/^\ufeff/, ""));
    return undefined;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const position = /at position (\d+)/.exec(message)?.[1];
    return {
      path: "",
      message: `is not JSON: ${message.replace(/ in JSON at position.*$/s, "")}`,
      offset: position === undefined ? text.trimEnd().length : Number(position),
    };
  }
}

/** Turns the parser's nodes into `SourceNode`s. */
class SourceReader {
  readonly problems: SourceProblem[] = [];
  private readonly anchors = new Map<string, YamlNode>();
  /** Collections that are being read, to detect an alias inside its own anchor. */
  private readonly open = new Set<YamlNode>();
  private inAlias = 0;
  private aliasedNodes = 0;

  read(node: YamlNode | null | undefined, offset: number): SourceNode {
    const start = node?.range?.[0] ?? offset;
    if (node === null || node === undefined) return { kind: "scalar", offset: start, value: null };
    if (this.inAlias > 0 && ++this.aliasedNodes > ALIASED_NODES_MAX) {
      if (this.aliasedNodes === ALIASED_NODES_MAX + 1)
        this.refuse(`aliases expand to more than ${ALIASED_NODES_MAX} values`, start);
      return { kind: "scalar", offset: start, value: null };
    }
    if (isAlias(node)) return this.readAlias(node.source, start);
    if (node.tag !== undefined && !/^tag:yaml\.org,2002:(str|int|float|bool|null|map|seq)$/.test(node.tag)) {
      this.refuse(`unknown tag ${node.tag}`, start);
    }
    if ("anchor" in node && typeof node.anchor === "string" && this.inAlias === 0) this.anchors.set(node.anchor, node);
    if (isScalar(node)) return { kind: "scalar", offset: start, value: this.readScalar(node.value, start) };
    if (this.open.size >= DEPTH_MAX) {
      this.refuse(`more than ${DEPTH_MAX} levels deep`, start);
      return { kind: "scalar", offset: start, value: null };
    }
    this.open.add(node);
    const result: SourceNode = isMap(node)
      ? { kind: "map", offset: start, entries: this.readEntries(node.items as Pair<YamlNode, YamlNode | null>[]) }
      : {
          kind: "list",
          offset: start,
          items: isSeq(node) ? (node.items as YamlNode[]).map((item) => this.read(item, start)) : [],
        };
    this.open.delete(node);
    return result;
  }

  private readAlias(name: string, offset: number): SourceNode {
    const target = this.anchors.get(name);
    if (target === undefined || this.open.has(target)) {
      this.refuse(
        target === undefined
          ? `there is no anchor &${name} before this alias`
          : `alias *${name} is inside its own anchor &${name}`,
        offset,
      );
      return { kind: "scalar", offset, value: null };
    }
    this.inAlias += 1;
    const node = this.read(target, offset);
    this.inAlias -= 1;
    return node;
  }

  private readEntries(pairs: readonly Pair<YamlNode, YamlNode | null>[]): SourceEntry[] {
    const seen = new Set<string>();
    return pairs.map(({ key, value }) => {
      const offset = key.range?.[0] ?? 0;
      const name = isScalar(key) ? String(key.value) : "";
      if (isAlias(key)) this.refuse("a key cannot be an alias", offset);
      this.checkString(name, offset);
      if (name === "__proto__") this.refuse("the key __proto__ is not allowed", offset);
      if (seen.has(name)) this.refuse(`duplicate key ${JSON.stringify(name)}`, offset);
      seen.add(name);
      return { key: name, offset, node: this.read(value, offset) };
    });
  }

  private readScalar(value: unknown, offset: number): null | boolean | number | string {
    switch (typeof value) {
      case "string":
        this.checkString(value, offset);
        return value;
      case "bigint":
        if (!Number.isFinite(Number(value)) || BigInt(Number(value)) !== value) {
          this.refuse("a double cannot hold this number exactly: write it as a string, in quotes", offset);
        }
        return Number(value);
      case "number":
        if (!Number.isFinite(value)) this.refuse("the number is not finite", offset);
        return value === 0 ? 0 : value;
      case "boolean":
        return value;
      default:
        return null;
    }
  }

  private checkString(text: string, offset: number): void {
    if (!text.isWellFormed()) this.refuse("lone surrogate", offset);
    if (text.includes("\u0000")) this.refuse("U+0000 is not allowed", offset);
  }

  private refuse(message: string, offset: number): void {
    this.problems.push({ path: "", message, offset });
  }
}

/** The rest of a field path after `name`, if the path begins with it: `name`, `name.…`, `name[…`, or `["name"]…`. */
function pathAfter(path: string, name: string): string | undefined {
  const quoted = `[${JSON.stringify(name)}]`;
  if (path.startsWith(quoted)) return path.slice(quoted.length).replace(/^\./, "");
  if (!path.startsWith(name)) return undefined;
  const rest = path.slice(name.length);
  if (rest === "" || rest.startsWith("[")) return rest;
  return rest.startsWith(".") ? rest.slice(1) : undefined;
}

/** A key in all its spellings: as written, in camelCase and in snake_case. */
function spellings(key: string): string[] {
  const camel = key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  const snake = key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return [...new Set([key, camel, snake])];
}

function locate(root: SourceNode, path: string): number {
  const inRequest = pathAfter(path, "workflow");
  const namesWorkflow = root.kind === "map" && root.entries.some((entry) => entry.key === "workflow");
  let rest = inRequest !== undefined && !namesWorkflow ? inRequest : path;
  let node = root;
  // A missing value is shown at the key of its parent: a block's first line may be far from its key.
  let incomplete = root.offset;
  while (rest !== "") {
    const step = stepInto(node, rest);
    if (step === undefined) return incomplete;
    ({ node, rest } = step);
    incomplete = step.offset;
  }
  return node === root ? root.offset : node.kind === "scalar" ? node.offset : incomplete;
}

/** One step along a path. Ids may contain dots, so the longest matching key is taken. */
function stepInto(node: SourceNode, path: string): { node: SourceNode; rest: string; offset: number } | undefined {
  if (node.kind === "list") {
    const index = /^\[(\d+)\]\.?/.exec(path);
    const item = node.items[Number(index?.[1] ?? -1)];
    return index === null || item === undefined
      ? undefined
      : { node: item, rest: path.slice(index[0].length), offset: item.offset };
  }
  if (node.kind === "scalar") return undefined;
  const steps = node.entries.flatMap((entry) =>
    spellings(entry.key).flatMap((name) => {
      const rest = pathAfter(path, name);
      return rest === undefined ? [] : [{ node: entry.node, rest, offset: entry.offset }];
    }),
  );
  return steps.toSorted((a, b) => a.rest.length - b.rest.length)[0];
}

function describeProblems(name: string, text: string, lines: LineCounter, problems: readonly SourceProblem[]): string {
  const sorted = problems.toSorted((a, b) => a.offset - b.offset);
  const described = sorted.slice(0, PROBLEMS_SHOWN_MAX).map((problem) => describeProblem(name, text, lines, problem));
  const more = sorted.length - described.length;
  if (more > 0) described.push(`and ${more} more problems`);
  return [...new Set(described)].join("\n");
}

function describeProblem(name: string, text: string, lines: LineCounter, problem: SourceProblem): string {
  // An offset at the end of the text is on its last line, which may be empty.
  const { line, col } = lines.linePos(Math.min(problem.offset, text.length));
  const row = Math.max(1, line);
  const column = Math.max(1, col);
  const start = lines.lineStarts[row - 1] ?? 0;
  const source = /^[^\r\n]*/.exec(text.slice(start))?.[0] ?? "";
  const what = problem.path === "" ? problem.message : `${problem.path}: ${problem.message}`;
  const gutter = `${String(row).padStart(5)} | `;
  // Of a long line, such as in generated JSON, only the part around the problem is shown.
  const from = source.length > EXCERPT_CHARS_MAX ? Math.max(0, column - EXCERPT_CHARS_MAX / 2) : 0;
  const before = (from > 0 ? "…" : "") + shownSource(source.slice(from, column - 1));
  const after = shownSource(source.slice(column - 1, from + EXCERPT_CHARS_MAX));
  const cut = source.length > from + EXCERPT_CHARS_MAX ? "…" : "";
  return [
    `${safeLine(name)}:${row}:${column}: ${safeLine(what)}`,
    `${gutter}${before}${after}${cut}`,
    `${" ".repeat(gutter.length - 2)}| ${" ".repeat(displayWidth(before))}^`,
  ].join("\n");
}

/** Source text that is safe for a terminal; a tab takes two columns, so that the caret is in the right place. */
function shownSource(source: string): string {
  return safeLine(source.replaceAll("\t", "  "));
}
