/** Loads a graph from a YAML or JSON file and checks its shape against the contract before it is sent. */
import { WorkflowSchema, type Workflow } from "@abstractruntime/proto/workflow_pb";
import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type DescOneof,
  fromJson,
  ScalarType,
} from "@bufbuild/protobuf";
import type { Path } from "@bufbuild/protobuf/reflect";
import { createValidator, type Violation } from "@bufbuild/protovalidate";

import type { FieldProblem } from "../core/errors.ts";
import { readRegularFile } from "../regular-file.ts";
import type { Json, JsonObject } from "../core/json/json.ts";
import { CliError } from "./failure.ts";
import {
  type GraphSource,
  readGraphSource,
  sourceJson,
  type SourceEntry,
  type SourceNode,
  type SourceProblem,
} from "./graph-source.ts";
import { INPUT_BYTES_MAX } from "./line-reader.ts";
import { enumNumber, enumShortNames, type ReadInput, systemMessage } from "./values.ts";

export type GraphFile = {
  /** The file's name in messages. */
  name: string;
  workflow: Workflow;
  /** Formats problems that the server found, each with its line and column in the file. */
  describe(problems: readonly FieldProblem[]): string;
};

/** Loads a graph from a file, or from standard input if `path` is `-`.
 *  @throws {CliError} with every problem, its line and column */
export async function loadGraph(path: string, readInput: ReadInput): Promise<GraphFile> {
  if (path === "-") return parseGraph("<stdin>", await readInput());
  let bytes: Buffer;
  try {
    bytes = readRegularFile(path, INPUT_BYTES_MAX);
  } catch (error) {
    throw new CliError(`${path}: cannot be read: ${systemMessage(error)}`);
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new CliError(`${path}: the file is not UTF-8 text`);
  }
  return parseGraph(path, text);
}

/** Parses the text of a graph; `name` is the file's name in messages.
 *  @throws {CliError} with every problem, its line and column */
export function parseGraph(name: string, text: string): GraphFile {
  const source = readGraphSource(name, text);
  if (source.root.kind === "scalar" && source.root.value === null) throw new CliError(`${name}: the file is empty`);
  const problems: SourceProblem[] = [];
  const json = messageJson(WorkflowSchema, source.root, "", problems);
  if (problems.length > 0) throw new CliError(source.describe(problems));
  let workflow: Workflow;
  try {
    workflow = fromJson(WorkflowSchema, json, { ignoreUnknownFields: false });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new CliError(source.describe([{ path: "", message, offset: source.root.offset }]));
  }
  const located = (found: readonly FieldProblem[]) =>
    found.map((problem) => ({ ...problem, offset: source.locate(problem.path) }));
  const violations = ruleProblems(workflow, source);
  if (violations.length > 0) throw new CliError(source.describe(violations));
  return { name, workflow, describe: (found) => source.describe(located(found)) };
}

// Created on first use: compiling the rules takes a while, and most commands load no graph.
let validator: ReturnType<typeof createValidator> | undefined;

/** Violations of the contract's own rules: bounds, patterns, required fields. Rules that cannot be evaluated here are
 *  left to the server. */
function ruleProblems(workflow: Workflow, source: GraphSource): SourceProblem[] {
  validator ??= createValidator();
  const result = validator.validate(WorkflowSchema, workflow);
  return (result.violations ?? []).map((violation) => {
    const path = jsonPath(violation.field);
    const oneof = violation.field.findLast((step) => step.kind === "oneof");
    const message = oneof === undefined ? ruleMessage(violation) : `needs exactly one of ${memberNames(oneof)}`;
    return { path, message, offset: source.locate(path) };
  });
}

function ruleMessage({ ruleId, message }: Violation): string {
  if (message.includes("^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")) {
    return "must be an id: 1 to 128 letters, digits, `.`, `_` or `-`, beginning with a letter or digit";
  }
  return ruleId === "string.min_len" && message.includes(" 1 ") ? "is required" : message;
}

function memberNames(oneof: DescOneof): string {
  return oneof.fields.map((field) => field.jsonName).join(", ");
}

/** A path as the server writes it: `nodes.ask.next[0].to`. */
function jsonPath(path: Path): string {
  let text = "";
  for (const step of path) {
    if (step.kind === "list_sub") text += `[${step.index}]`;
    else if (step.kind === "map_sub") text = joinPath(text, String(step.key));
    else if (step.kind === "field") text = joinPath(text, step.jsonName);
  }
  return text;
}

function joinPath(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

/** The proto JSON of a message: every field under its JSON name, and every enum value under its full name. */
function messageJson(desc: DescMessage, node: SourceNode, path: string, problems: SourceProblem[]): Json {
  if (desc.typeName === "google.protobuf.Value") return sourceJson(node);
  if (desc.typeName.startsWith("google.protobuf.") && desc.typeName !== "google.protobuf.Struct")
    return sourceJson(node);
  if (node.kind !== "map") {
    const empty = node.kind === "scalar" && node.value === null;
    problems.push({
      path,
      message: empty ? "must be an object; write `{}` if it has no fields" : "must be an object",
      offset: node.offset,
    });
    return {};
  }
  if (desc.typeName === "google.protobuf.Struct") return sourceJson(node);
  const object: JsonObject = {};
  const members = new Map<DescOneof, string>();
  for (const entry of node.entries) {
    const field = fieldOf(desc, entry.key);
    if (field === undefined) {
      problems.push({ path: joinPath(path, entry.key), message: unknownField(desc, entry.key), offset: entry.offset });
      continue;
    }
    const { oneof } = field;
    const other = oneof && members.get(oneof);
    if (oneof !== undefined && other !== undefined) {
      problems.push({ path, message: `${field.jsonName} cannot be combined with ${other}`, offset: entry.offset });
    } else if (Object.hasOwn(object, field.jsonName)) {
      problems.push({ path, message: `${field.jsonName} is given twice, in both spellings`, offset: entry.offset });
    }
    if (oneof !== undefined) members.set(oneof, field.jsonName);
    const value = fieldJson(field, entry, joinPath(path, field.jsonName), problems);
    if (value !== undefined) object[field.jsonName] = value;
  }
  return object;
}

function fieldOf(desc: DescMessage, key: string): DescField | undefined {
  return desc.fields.find((field) => field.jsonName === key || field.name === key);
}

/** The proto JSON of a field; undefined if its value is null, which counts as absent. */
function fieldJson(field: DescField, entry: SourceEntry, path: string, problems: SourceProblem[]): Json | undefined {
  const { node } = entry;
  const isNull = node.kind === "scalar" && node.value === null;
  const isValue = field.fieldKind === "message" && field.message.typeName === "google.protobuf.Value";
  if (isNull && !isValue && field.oneof === undefined) return undefined;
  switch (field.fieldKind) {
    case "list": {
      if (node.kind !== "list") {
        problems.push({ path, message: "must be a list", offset: node.offset });
        return [];
      }
      return node.items.map((item, index) => elementJson(field, item, `${path}[${index}]`, problems));
    }
    case "map": {
      if (node.kind !== "map") {
        problems.push({ path, message: "must be an object", offset: node.offset });
        return {};
      }
      const object: JsonObject = {};
      for (const { key, node: item } of node.entries)
        object[key] = elementJson(field, item, joinPath(path, key), problems);
      return object;
    }
    default:
      return elementJson(field, node, path, problems);
  }
}

/** The proto JSON of one value: that of a singular field, or an element of a list or map. */
function elementJson(field: DescField, node: SourceNode, path: string, problems: SourceProblem[]): Json {
  if (field.message !== undefined) return messageJson(field.message, node, path, problems);
  if (field.enum !== undefined) return enumJson(field.enum, node, path, problems);
  const value = node.kind === "scalar" ? node.value : undefined;
  const problem = scalarProblem(field.scalar, value);
  if (problem !== undefined) problems.push({ path, message: problem, offset: node.offset });
  return value ?? null;
}

function enumJson(desc: DescEnum, node: SourceNode, path: string, problems: SourceProblem[]): Json {
  const text = node.kind === "scalar" && typeof node.value === "string" ? node.value : "";
  const number = enumNumber(desc, text);
  if (number === undefined) {
    problems.push({ path, message: `must be one of ${enumShortNames(desc).join(", ")}`, offset: node.offset });
    return null;
  }
  return desc.value[number]?.name ?? null;
}

/** The problem of a value of a scalar field, if any. */
function scalarProblem(
  type: ScalarType | undefined,
  value: null | boolean | number | string | undefined,
): string | undefined {
  switch (type) {
    case ScalarType.STRING:
      if (typeof value === "string") return undefined;
      return value === undefined || value === null
        ? "must be a string"
        : `must be a string: write "${value}" in quotes`;
    case ScalarType.BOOL:
      return typeof value === "boolean" ? undefined : "must be true or false";
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return typeof value === "number" ? undefined : "must be a number";
    case ScalarType.INT32:
      // Proto JSON also takes numbers in quotes.
      return /^-?\d{1,10}$/.test(String(value)) && Number(value) === (Number(value) | 0)
        ? undefined
        : "must be a whole number that fits in 32 bits";
    default:
      return value === undefined ? "must be a single value" : undefined;
  }
}

/** The most edits between two names that still count as a typo. */
const TYPO_EDITS_MAX = 2;

function unknownField(desc: DescMessage, key: string): string {
  const names = desc.fields.map((field) => field.jsonName);
  const near = names
    .map((name) => ({ name, edits: editDistance(key.toLowerCase().replaceAll("_", ""), name.toLowerCase()) }))
    .filter(({ edits }) => edits <= TYPO_EDITS_MAX)
    .toSorted((a, b) => a.edits - b.edits)[0];
  if (near !== undefined) return `unknown field; did you mean ${near.name}?`;
  // A field of a kind, written one level too high: `prompt` beside `askUser`.
  const owner = desc.fields.find(
    (field) => field.oneof !== undefined && field.message !== undefined && fieldOf(field.message, key) !== undefined,
  );
  if (owner !== undefined) return `unknown field here; it belongs in ${owner.jsonName}`;
  return names.length === 0
    ? "unknown field: this object has no fields"
    : `unknown field; the fields are ${names.join(", ")}`;
}

/** The Levenshtein distance. Only the beginning of a long key is compared, since it cannot be a typo anyway. */
function editDistance(from: string, to: string): number {
  const a = from.slice(0, 64);
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
