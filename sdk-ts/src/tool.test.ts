import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { z } from "zod";

import { type JobContext, tool, ToolError } from "./tool.ts";

const CONTEXT: JobContext = {
  idempotencyKey: "key",
  attempt: 1,
  runId: "r",
  workflowId: "w",
  version: 1,
  nodeId: "n",
  callId: "c",
  sessionId: "",
  signal: new AbortController().signal,
  paused: false,
  heartbeat: () => {},
};

const refusal = async (call: Promise<unknown>) => {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof ToolError)) throw new Error("was not refused with a ToolError", { cause: error });
  return error;
};

describe("tool with a Zod schema", () => {
  const search = tool(
    {
      name: "search",
      version: "2",
      description: "Searches.",
      input: z.object({ words: z.string().min(1), limit: z.number().int().default(10) }),
      delivery: "at-most-once",
      concurrency: 3,
    },
    async ({ words, limit }, { idempotencyKey }) => ({ found: words.repeat(limit), idempotencyKey }),
  );

  it("tells the JSON Schema of what goes in", () => {
    expect(search).toMatchObject({
      name: "search",
      version: "2",
      description: "Searches.",
      delivery: "at-most-once",
      concurrency: 3,
      inputSchema: { type: "object", properties: { words: { type: "string", minLength: 1 } }, required: ["words"] },
    });
  });

  it("gives the function what the schema made of the arguments", async () => {
    const output: { found: string; idempotencyKey: string } = await search.call({ words: "a" }, CONTEXT);
    expect(output).toEqual({ found: "aaaaaaaaaa", idempotencyKey: "key" });
  });

  it("refuses what does not fit, with its place", async () => {
    const error = await refusal(search.call({ words: "", limit: "x" }, CONTEXT));
    expect(error).toMatchObject({ code: "ARGUMENTS_INVALID", nonRetryable: true });
    expect(error.details).toMatchObject({ problems: [{ path: "/words" }, { path: "/limit" }] });
  });

  it("lets what the function throws pass", async () => {
    const failing = tool({ name: "f", input: z.object({}) }, () => {
      throw new ToolError("NO_MONEY", "no money", { details: { balance: 3 } });
    });
    expect(await refusal(failing.call({}, CONTEXT))).toMatchObject({ code: "NO_MONEY", nonRetryable: false });
  });

  it("refuses a schema that has no JSON Schema", () => {
    expect(() => tool({ name: "f", input: z.object({ at: z.date() }) }, () => 1)).toThrow(/tool f has no JSON Schema/);
  });
});

describe("tool with a JSON Schema", () => {
  const schema: JsonObject = {
    type: "object",
    properties: { path: { $ref: "#/$defs/path" }, kind: { enum: ["a", "b"] }, tags: { uniqueItems: true } },
    required: ["path"],
    additionalProperties: false,
    $defs: { path: { type: "string", maxLength: 5 } },
  };
  const read = tool({ name: "read", input: schema }, async ({ path }: { path: string }) => path.length);

  it.each<[string, JsonValue, string, string]>([
    ["a missing member", {}, "", "required property 'path'"],
    ["a name of Object.prototype", { path: "a", toString: 1 }, "", 'additional properties: "toString"'],
    ["a member of the wrong type", { path: 3 }, "/path", "must be string"],
    ["another value", { path: "a", kind: "c" }, "/kind", 'allowed values: ["a","b"]'],
    ["no object", [], "", "must be object"],
    ["equal items", { path: "a", tags: [{ a: 1, b: [2] }, 1, { b: [2], a: 1 }] }, "/tags", "duplicate items"],
  ])("refuses %s", async (_what, args, path, message) => {
    const { details } = await refusal(read.call(args, CONTEXT));
    expect(details).toEqual({ problems: [{ path, message: expect.stringContaining(message) as string }] });
  });

  it("takes what fits", async () => {
    const length: number = await read.call({ path: "abc", tags: [{ a: 1 }, { a: 2 }] }, CONTEXT);
    expect(length).toBe(3);
  });

  it("compares a long list in little time", async () => {
    const tags = Array.from({ length: 50_000 }, (_, index) => ({ index }));
    expect(await read.call({ path: "abc", tags }, CONTEXT)).toBe(3);
  });

  it("takes any object without a schema, and nothing else", async () => {
    const any = tool({ name: "any" }, (args) => args);
    expect(await any.call({ a: 1 }, CONTEXT)).toEqual({ a: 1 });
    expect(await refusal(any.call("text", CONTEXT))).toMatchObject({ code: "ARGUMENTS_INVALID" });
  });

  it.each<[string, unknown, RegExp]>([
    ["an unknown type", { type: "text" }, /not a JSON Schema 2020-12/],
    ["a foreign reference", { properties: { a: { $ref: "https://example.com/s" } } }, /begin with #/],
    ["unevaluatedItems", { properties: { a: { unevaluatedItems: false } } }, /unevaluatedItems is not supported/],
    ["unevaluatedProperties", { allOf: [{ unevaluatedProperties: false }] }, /unevaluatedProperties is not supported/],
    ["$dynamicRef", { $defs: { a: { $dynamicRef: "#a" } } }, /\$dynamicRef is not supported/],
    ["a reference to nothing", { $ref: "#/$defs/none" }, /not a JSON Schema 2020-12/],
    ["more than 64 KiB", { description: "x".repeat(70_000) }, /more than 65536/],
    ["a schema that is no object", "string", /must be a JSON object/],
  ])("refuses %s", (_what, input, message) => {
    expect(() => tool({ name: "f", input: input as JsonObject }, () => 1)).toThrow(message);
  });
});

it.each<[string, object, RegExp]>([
  ["no name", { name: "" }, /1 to 128 characters/],
  ["a control character in the name", { name: "a\nb" }, /"a\\nb"/],
  ["a long version", { name: "a", version: "v".repeat(65) }, /more than 64/],
  ["a long description", { name: "a", description: "é".repeat(9_000) }, /more than 16384/],
  ["no concurrency", { name: "a", concurrency: 0 }, /1 to 10000/],
])("a tool with %s is refused", (_what, definition, message) => {
  expect(() => tool(definition as { name: string }, () => 1)).toThrow(message);
});
