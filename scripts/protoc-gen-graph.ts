/**
 * A buf plugin: generates code about the proto JSON of graphs and step plans for server/src/core, which does not import
 * protobuf.
 *
 * `types.ts` has the types, `bounds.ts` the bounds that protovalidate's rules set for values, and `step-plan-schema.ts`
 * the JSON Schema of handler results.
 *
 * Text of a graph may be a template. Its plain rules bound the template. A CEL rule of the form `this.contains('${') ||
 * …` bounds the template's value, and text that is not a template. Core checks evaluated values, so only the CEL rule
 * counts here.
 */
import { readFileSync, writeSync } from "node:fs";
import {
  create,
  createFileRegistry,
  type DescEnum,
  type DescField,
  type DescMessage,
  fromBinary,
  getOption,
  hasOption,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import {
  CodeGeneratorRequestSchema,
  CodeGeneratorResponse_Feature,
  CodeGeneratorResponseSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { field as fieldOption, type FieldRules, Ignore } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

type Bounds = { [name: string]: Bounds | readonly string[] | string | number };
type Schema = { [keyword: string]: Schema | readonly string[] | string | number | boolean };

const PACKAGE = "abstractruntime.v1";
const ROOTS = ["Workflow", "StepPlan"];
/** Fields of a graph that a step plan must not have. */
const ABSENT_FROM_PLANS = new Set(["ToolCalls.calls_from", "PatchOp.of", "PatchOp.at"]);
/** Core renames operations to the ledger's names, such as "set", before it validates with the schema. */
const RENAMED_IN_PLANS = new Set(["PatchOp.op"]);
const MESSAGE_TYPES: { [typeName: string]: string } = {
  "google.protobuf.Value": "Json",
  "google.protobuf.Struct": "JsonObject",
  "google.protobuf.Timestamp": "string",
};

// ── Rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** protovalidate's rules, with JSON Schema's name for each if there is one. */
const RULE_NAMES: { [rule: string]: string } = {
  minLen: "minLength",
  maxLen: "maxLength",
  minBytes: "minBytes",
  maxBytes: "maxBytes",
  pattern: "pattern",
  minItems: "minItems",
  maxItems: "maxItems",
  minPairs: "minPairs",
  maxPairs: "maxPairs",
};

/** The forms of the contract's CEL rules, and the bounds of an evaluated value that each sets. A group is a number or a
 *  pattern. */
const CEL_FORMS: { form: RegExp; bounds: (found: string, message: string) => Bounds }[] = [
  { form: /^this\.contains\('\$\{'\) \|\| this\.size\(\) <= (\d+)$/, bounds: (max) => ({ maxLength: Number(max) }) },
  {
    form: /^this\.contains\('\$\{'\) \|\| this\.matches\('(.*)'\)$/,
    bounds: (pattern, message) => ({
      pattern: pattern.replaceAll("\\\\", "\\"),
      message: message.replace(", or a template", ""),
    }),
  },
  {
    form: /^type\(this\) == string \|\| \(type\(this\) == list && size\(this\) > 0 && size\(this\) <= (\d+)\)$/,
    bounds: (max) => ({ minItems: 1, maxItems: Number(max) }),
  },
  { form: /^type\(this\) == map \|\| type\(this\) == string$/, bounds: () => ({ type: "object" }) },
];

function boundsOfCel(rules: FieldRules): Bounds {
  const all: Bounds = {};
  for (const { expression, message, id } of rules.cel) {
    const known = CEL_FORMS.find(({ form }) => form.test(expression));
    if (known === undefined)
      throw new Error(`the rule ${id} has a form that protoc-gen-graph does not know: ${expression}`);
    Object.assign(all, known.bounds(known.form.exec(expression)![1] ?? "", message));
  }
  return all;
}

/** The bounds of an evaluated value. */
function boundsOfRules(rules: FieldRules | undefined): Bounds {
  if (rules === undefined) return {};
  const evaluated = boundsOfCel(rules);
  const { case: kind, value } = rules.type;
  if (kind === undefined) return evaluated;
  const bounds: Bounds = {};
  const set = value as unknown as { [rule: string]: unknown };
  for (const [rule, name] of Object.entries(RULE_NAMES)) {
    // The rules are proto2: a rule that is not set has no own property.
    if (Object.hasOwn(set, rule))
      bounds[name] = typeof set[rule] === "bigint" ? Number(set[rule]) : (set[rule] as string);
  }
  if (kind === "int32" || kind === "double") {
    if (value.greaterThan.case === "gte") bounds["minimum"] = value.greaterThan.value;
    if (value.lessThan.case === "lte") bounds["maximum"] = value.lessThan.value;
  }
  const parts: [string, Bounds][] = [];
  if (kind === "repeated") parts.push(["items", boundsOfRules(value.items)]);
  if (kind === "map") parts.push(["keys", boundsOfRules(value.keys)], ["values", boundsOfRules(value.values)]);
  for (const [name, part] of parts) if (Object.keys(part).length > 0) bounds[name] = part;
  // The size of a template's text does not bound its value.
  if (Object.keys(evaluated).length > 0) delete bounds["maxBytes"];
  return { ...bounds, ...evaluated };
}

function rulesOf(field: DescField): FieldRules | undefined {
  return hasOption(field, fieldOption) ? getOption(field, fieldOption) : undefined;
}

function boundsOf(field: DescField): Bounds {
  const rules = rulesOf(field);
  const isClosed = rules?.type.case === "enum" && rules.type.value.definedOnly;
  return { ...boundsOfRules(rules), ...(isClosed ? { enum: valueNames(field.enum!) } : {}) };
}

function valueNames({ values }: DescEnum): string[] {
  return values.map(({ name }) => name);
}

/** Whether the rules refuse the field's default value, so that every valid message sets the field. */
function isRequired(field: DescField): boolean {
  const mayBeAbsent = field.fieldKind === "message" || field.oneof !== undefined;
  if (mayBeAbsent || rulesOf(field)?.ignore === Ignore.IF_ZERO_VALUE) return false;
  const { minLength, minItems, minPairs, pattern } = boundsOf(field);
  const least = [minLength, minItems, minPairs].some((bound) => typeof bound === "number" && bound > 0);
  return least || (field.fieldKind === "scalar" && typeof pattern === "string" && !new RegExp(pattern, "u").test(""));
}

// ── Types ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const COMMENTS = new Map<DescMessage | DescField | DescEnum, string>();

/** The first sentence of the contract's comment, as a comment; no lines if there is no comment. */
function docLines(desc: DescMessage | DescField | DescEnum, indent = ""): string[] {
  const paragraph = COMMENTS.get(desc)?.trim().split("\n\n")[0]!.replaceAll(/\s+/g, " ");
  const sentence = paragraph?.split(/(?<=\.) /)[0]!.replaceAll("*/", "* /");
  return sentence === undefined ? [] : [`${indent}/** ${sentence} */`];
}

/** Stores the comments of a message with its fields, or of an enum. Only the file's source info has them, by numeric
 *  paths. */
function readComments(desc: DescMessage | DescEnum): void {
  const root = desc.kind === "message" ? 4 : 5;
  const siblings: readonly (DescMessage | DescEnum)[] = desc.kind === "message" ? desc.file.messages : desc.file.enums;
  const path = [root, siblings.indexOf(desc)];
  for (const { path: at, leadingComments } of desc.file.proto.sourceCodeInfo?.location ?? []) {
    if (leadingComments === "" || !path.every((part, index) => at[index] === part)) continue;
    if (at.length === 2) COMMENTS.set(desc, leadingComments);
    if (desc.kind === "message" && at.length === 4 && at[2] === 2) {
      const name = desc.proto.field[at[3]!]!.name;
      COMMENTS.set(
        desc.fields.find((field) => field.name === name)!,
        leadingComments,
      );
    }
  }
}

function typeOf(field: DescField): string {
  switch (field.fieldKind) {
    case "scalar":
      return scalarType(field.scalar);
    case "enum":
      return enumType(field.enum);
    case "message":
      return messageType(field.message);
    case "list":
      return `${field.listKind === "scalar" ? scalarType(field.scalar) : messageOrEnumType(field)}[]`;
    case "map":
      return `{ [key: string]: ${field.mapKind === "scalar" ? scalarType(field.scalar) : messageOrEnumType(field)} }`;
  }
}

function messageOrEnumType(field: DescField): string {
  return field.message === undefined ? enumType(field.enum!) : messageType(field.message);
}

function enumType({ name }: DescEnum): string {
  return `${name}Json`;
}

function messageType(message: DescMessage): string {
  return MESSAGE_TYPES[message.typeName] ?? `${message.name}Json`;
}

function scalarType(scalar: ScalarType): string {
  switch (scalar) {
    case ScalarType.STRING:
      return "string";
    case ScalarType.BOOL:
      return "boolean";
    case ScalarType.INT32:
    case ScalarType.DOUBLE:
      return "number";
    default:
      throw new Error(`protoc-gen-graph writes no proto JSON of ${ScalarType[scalar]}`);
  }
}

/** `planned` are the messages of a step plan: core reads them before they are validated, so all fields are optional. */
function printTypes(messages: readonly DescMessage[], planned: readonly DescMessage[]): string {
  const enums = new Set(messages.flatMap((message) => message.fields.flatMap((field) => field.enum ?? [])));
  for (const desc of [...messages, ...enums]) readComments(desc);
  const lines = ['import type { Json, JsonObject } from "../../json/json.ts";', ""];
  for (const desc of enums) {
    const names = valueNames(desc).map((name) => JSON.stringify(name));
    lines.push(...docLines(desc), `export type ${enumType(desc)} = ${names.join(" | ")};`, "");
  }
  for (const desc of messages) {
    lines.push(...docLines(desc));
    if (desc.fields.length === 0) {
      lines.push(`export type ${messageType(desc)} = { [key: string]: never };`, "");
      continue;
    }
    lines.push(`export type ${messageType(desc)} = {`);
    for (const field of desc.fields) {
      lines.push(...docLines(field, "  "));
      lines.push(`  ${field.jsonName}${isRequired(field) && !planned.includes(desc) ? "" : "?"}: ${typeOf(field)};`);
    }
    lines.push("};", "");
  }
  return lines.join("\n");
}

// ── Bounds and schema ────────────────────────────────────────────────────────────────────────────────────────────────

function printBounds(messages: readonly DescMessage[]): string {
  const all: Bounds = {};
  for (const desc of messages) {
    const fields: Bounds = {};
    for (const field of desc.fields) {
      const bounds = boundsOf(field);
      if (Object.keys(bounds).length > 0) fields[field.jsonName] = bounds;
    }
    if (Object.keys(fields).length > 0) all[desc.name.charAt(0).toLowerCase() + desc.name.slice(1)] = fields;
  }
  const doc =
    "/** By message and field: the bounds of values whose templates are evaluated. Lengths are in Unicode code points. */\n";
  return `${doc}export const BOUNDS = ${printValue(all)} as const;\n`;
}

/**
 * The JSON Schema of a message's fields, with their upper bounds.
 *
 * It has no lower bounds: proto JSON omits defaults, so core itself refuses absent fields. It has no patterns: core has
 * better messages for them.
 */
function schemaOf(message: DescMessage): Schema {
  const properties: Schema = {};
  for (const field of message.fields) {
    const name = `${message.name}.${field.name}`;
    if (ABSENT_FROM_PLANS.has(name)) continue;
    properties[field.jsonName] = RENAMED_IN_PLANS.has(name) ? { type: "string" } : schemaOfField(field);
  }
  return { type: "object", properties, additionalProperties: false };
}

function schemaOfField(field: DescField): Schema | boolean {
  const bounds = boundsOf(field);
  if (field.fieldKind === "list") {
    const items = schemaOfElement(field, (bounds["items"] ?? {}) as Bounds);
    return { type: "array", ...pick(bounds, ["maxItems"]), ...(items === true ? {} : { items }) };
  }
  if (field.fieldKind === "map") throw new Error(`protoc-gen-graph writes no schema of the map ${field.toString()}`);
  return schemaOfElement(field, bounds);
}

function schemaOfElement(field: DescField, bounds: Bounds): Schema | boolean {
  if (field.message !== undefined) {
    if (field.message.typeName === "google.protobuf.Struct") return { type: "object" };
    if (field.message.typeName !== "google.protobuf.Value") return schemaOf(field.message);
    const known = pick(bounds, ["type", "maxItems"]);
    return Object.keys(known).length === 0 ? true : known;
  }
  if (field.enum !== undefined) return { enum: valueNames(field.enum) };
  switch (scalarType(field.scalar)) {
    case "string":
      return { type: "string", ...schemaOfLength(bounds) };
    case "boolean":
      return { type: "boolean" };
    default:
      return { type: "number", ...pick(bounds, ["minimum", "maximum"]) };
  }
}

/** The length bound of a text, and a description of it. A bound in bytes is also an upper bound in characters. */
function schemaOfLength({ minLength, maxLength, maxBytes }: Bounds): Schema {
  const max = (maxLength ?? maxBytes) as number | undefined;
  if (max === undefined) return {};
  const range = minLength === undefined ? `at most ${max}` : `${minLength as number} to ${max}`;
  return { maxLength: max, description: `${range} ${maxLength === undefined ? "bytes" : "characters"}` };
}

function pick(bounds: Bounds, names: readonly string[]): Schema {
  return Object.fromEntries(names.flatMap((name) => (name in bounds ? [[name, bounds[name] as number]] : [])));
}

function printStepPlanSchema(plan: DescMessage): string {
  const fields = reachable([plan]).flatMap((message) => message.fields);
  const isValue = (field: DescField) =>
    field.fieldKind === "message" &&
    field.message.typeName === "google.protobuf.Value" &&
    boundsOf(field)["type"] === undefined;
  const values = [...new Set(fields.filter(isValue).map((field) => field.jsonName))];
  const unclear = fields.find((field) => values.includes(field.jsonName) && !isValue(field));
  if (unclear !== undefined) throw new Error(`${unclear.toString()} has the name of a google.protobuf.Value`);
  return [
    'import type { JsonObject } from "../../json/json.ts";',
    "",
    "/** The JSON Schema of a StepPlan's proto JSON under its JSON names. Upper bounds only: see BOUNDS for the others. */",
    `export const STEP_PLAN_SCHEMA: JsonObject = ${printValue(schemaOf(plan))};`,
    "",
    "/** Members whose null is a value; everywhere else proto JSON's null means that nothing is given. */",
    `export const STEP_PLAN_VALUES: ReadonlySet<string> = new Set(${printValue(values)});`,
    "",
  ].join("\n");
}

/** A value as TypeScript, one member per line. Names have no quotes: all are names of fields or keywords. */
function printValue(value: unknown, indent = ""): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item) => printValue(item, indent)).join(", ")}]`;
  const members = Object.entries(value);
  if (members.every(([, member]) => typeof member !== "object" || Array.isArray(member))) {
    return `{ ${members.map(([name, member]) => `${name}: ${printValue(member)}`).join(", ")} }`;
  }
  const lines = members.map(([name, member]) => `${indent}  ${name}: ${printValue(member, `${indent}  `)},\n`);
  return `{\n${lines.join("")}${indent}}`;
}

// ── The plugin ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** The contract's messages that are reachable from `roots`, each after the messages that refer to it. */
function reachable(roots: readonly DescMessage[]): DescMessage[] {
  const found = new Set(roots);
  for (const message of found) {
    for (const { message: next } of message.fields) {
      if (next !== undefined && MESSAGE_TYPES[next.typeName] === undefined) found.add(next);
    }
  }
  return [...found];
}

/** Refuses a name, such as "PatchOp.op", that is no field of `messages`: after a rename its rule would be lost. */
function checkNames(names: readonly string[], messages: readonly DescMessage[]): void {
  const known = new Set(messages.flatMap((message) => message.fields.map((field) => `${message.name}.${field.name}`)));
  for (const name of names) {
    if (!known.has(name)) throw new Error(`protoc-gen-graph has a rule for ${name}, but step plans have no such field`);
  }
}

function generate(): { name: string; content: string }[] {
  const files = createFileRegistry(create(FileDescriptorSetSchema, { file: request.protoFile }));
  const roots = ROOTS.flatMap((name) => files.getMessage(`${PACKAGE}.${name}`) ?? []);
  // buf calls its plugins once per input; third_party has no graphs.
  if (roots.length < ROOTS.length) return [];
  const messages = reachable(roots);
  const plan = roots.at(-1)!;
  checkNames([...ABSENT_FROM_PLANS, ...RENAMED_IN_PLANS], reachable([plan]));
  const header = "// Written by `npm run generate` from the contract in proto/; do not edit.\n\n";
  return [
    { name: "types.ts", content: header + printTypes(messages, reachable([plan])) },
    { name: "bounds.ts", content: header + printBounds(messages) },
    { name: "step-plan-schema.ts", content: header + printStepPlanSchema(plan) },
  ];
}

const request = fromBinary(CodeGeneratorRequestSchema, readFileSync(0));
const response = create(CodeGeneratorResponseSchema, {
  supportedFeatures: BigInt(CodeGeneratorResponse_Feature.PROTO3_OPTIONAL),
  file: generate(),
});
const bytes = toBinary(CodeGeneratorResponseSchema, response);
for (let written = 0; written < bytes.length;) written += writeSync(1, bytes, written);
