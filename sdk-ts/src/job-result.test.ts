import type { JobFailure, JobResult } from "@abstractruntime/proto/worker_service_pb";
import { describe, expect, it } from "vitest";

import { resultOfError, resultOfOutput } from "./job-result.ts";
import { ToolError } from "./tool.ts";

function textOf({ outcome }: JobResult): string | undefined {
  return outcome.case === "output" ? Buffer.from(outcome.value).toString() : undefined;
}

function failureOf({ outcome }: JobResult): JobFailure {
  if (outcome.case !== "failure") throw new Error("the job did not fail");
  return outcome.value;
}

const cycle: { self?: unknown } = {};
cycle.self = cycle;
let deep: unknown = 1;
for (let level = 0; level < 20_000; level++) deep = [deep];

describe("resultOfOutput", () => {
  it.each<[string, unknown, string]>([
    ["nothing", undefined, "null"],
    ["null", null, "null"],
    ["what its toJSON says", { at: new Date(0) }, '{"at":"1970-01-01T00:00:00.000Z"}'],
    ["members without a value", { a: undefined, b: [undefined] }, '{"b":[null]}'],
    ["a toJSON of nothing", { toJSON: () => undefined }, "null"],
    ["text of any length below the bound", "é".repeat(500_000), `"${"é".repeat(500_000)}"`],
  ])("takes %s", (_what, value, text) => {
    expect(textOf(resultOfOutput("t", value))).toBe(text);
  });

  it.each<[string, unknown, string, RegExp]>([
    ["a bigint", { a: 1n }, "RESULT_INVALID", /bigint/],
    ["a function", [() => 1], "RESULT_INVALID", /function/],
    ["NaN", { a: Number.NaN }, "RESULT_INVALID", /NaN/],
    ["an infinite number", -Infinity, "RESULT_INVALID", /-Infinity/],
    ["a cycle", cycle, "RESULT_INVALID", /circular/],
    ["a Map", new Map([[1, 2]]), "RESULT_INVALID", /a Map/],
    ["bytes", { data: new Uint8Array(3) }, "RESULT_INVALID", /Uint8Array/],
    ["a forgotten promise", [Promise.resolve(1)], "RESULT_INVALID", /await/],
    ["half a character", { a: "\uD800" }, "RESULT_INVALID", /well-formed/],
    ["a name with U+0000", { "a\0": 1 }, "RESULT_INVALID", /U\+0000/],
    ["a depth without end", deep, "RESULT_INVALID", /call stack/],
    [
      "a toJSON that fails",
      {
        toJSON: () => {
          throw new Error("no");
        },
      },
      "RESULT_INVALID",
      /no/,
    ],
    ["10 MB", "x".repeat(10_000_000), "RESULT_TOO_LARGE", /1048576/],
    ["one byte too many", "x".repeat(1024 * 1024 - 1), "RESULT_TOO_LARGE", /1048576/],
    ["many small members", Array.from({ length: 2_000_000 }, () => 0), "RESULT_TOO_LARGE", /1048576/],
    ["many escapes", "\u0001".repeat(300_000), "RESULT_TOO_LARGE", /1048576/],
  ])("refuses %s", (_what, value, code, message) => {
    const failure = failureOf(resultOfOutput("t", value));
    expect(failure).toMatchObject({ code, nonRetryable: true });
    expect(failure.message).toMatch(message);
  });

  it("takes exactly 1 MiB", () => {
    expect(textOf(resultOfOutput("t", "x".repeat(1024 * 1024 - 2)))?.length).toBe(1024 * 1024);
  });
});

describe("resultOfError", () => {
  const unshowable = new Proxy(new Error("x"), {
    get: () => {
      throw new Error("no");
    },
  });
  class ToolErrorOfAnotherCopy extends Error {
    override readonly name = "ToolError";
    readonly code = "OTHER";
    readonly nonRetryable = true;
  }

  it.each<[string, unknown, Partial<JobFailure>]>([
    ["an error", new Error("it broke"), { code: "TOOL_FAILED", message: "it broke", nonRetryable: false }],
    ["text", "it broke", { code: "TOOL_FAILED", message: "it broke" }],
    ["nothing", undefined, { code: "TOOL_FAILED", message: "undefined" }],
    ["an error whose message is no text", Object.assign(new Error("x"), { message: 5 }), { message: "5" }],
    [
      "what cannot be shown",
      unshowable,
      { code: "TOOL_FAILED", message: "the code threw a value that cannot be shown" },
    ],
    ["an object without prototype", Object.create(null), { message: "the code threw a value that cannot be shown" }],
    ["characters that cannot be stored", new Error("a\0\uD800"), { message: "a\uFFFD\uFFFD" }],
    [
      "a ToolError",
      new ToolError("NO_MONEY", "none left", { nonRetryable: true, details: { balance: 0 } }),
      { code: "NO_MONEY", message: "none left", nonRetryable: true, details: Buffer.from('{"balance":0}') },
    ],
    [
      "a ToolError of another copy of the package",
      new ToolErrorOfAnotherCopy("x"),
      { code: "OTHER", nonRetryable: true },
    ],
  ])("tells %s", (_what, error, expected) => {
    const { code, message, nonRetryable, details } = failureOf(resultOfError("t", error));
    expect({ code, message, nonRetryable, details: Buffer.from(details) }).toMatchObject(expected);
  });

  it("leaves out details that are too large or no JSON", () => {
    for (const details of ["x".repeat(70_000), Number.NaN]) {
      expect(failureOf(resultOfError("t", new ToolError("A", "b", { details }))).details).toHaveLength(0);
    }
  });
});
