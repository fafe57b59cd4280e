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
    ["members without a value", { a: undefined, b: { toJSON: () => undefined }, [Symbol("c")]: 1 }, "{}"],
    ["text of any length below the bound", "é".repeat(500_000), `"${"é".repeat(500_000)}"`],
  ])("takes %s", (_what, value, text) => {
    expect(textOf(resultOfOutput("t", value))).toBe(text);
  });

  it.each<[string, unknown, string, RegExp]>([
    ["a bigint", { a: 1n }, "RESULT_INVALID", /bigint/],
    ["a cycle", cycle, "RESULT_INVALID", /does it contain itself/],
    ["a depth without end", deep, "RESULT_INVALID", /64 levels/],
    ["a place in it", { orders: [{ "a/b": new Map() }] }, "RESULT_INVALID", /a Map is not JSON: \/orders\/0\/a~1b;/],
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

  it("takes an error that is returned as thrown", () => {
    expect(failureOf(resultOfOutput("t", new Error("it broke")))).toMatchObject({
      code: "TOOL_FAILED",
      message: "it broke",
    });
    const own = new ToolError("NO_MONEY", "none left", { nonRetryable: true });
    expect(failureOf(resultOfOutput("t", own))).toMatchObject({ code: "NO_MONEY", nonRetryable: true });
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
    ["an object without prototype", Object.create(null), { message: "{}" }],
    ["an object", { why: "no money" }, { code: "TOOL_FAILED", message: '{"why":"no money"}' }],
    ["an object with a message", { message: "no money" }, { message: "no money" }],
    ["a symbol", Symbol("why"), { message: "Symbol(why)" }],
    ["an error without a message", new RangeError(), { message: "RangeError" }],
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

  class MoneyError extends ToolError {
    override readonly name = "MoneyError";
  }
  const withoutMessage = Object.defineProperty(new ToolError("MINE", "x"), "message", {
    get: () => {
      throw new Error("no");
    },
  });
  const selfCaused = new ToolError("MINE", "x");
  selfCaused.cause = selfCaused;

  it.each<[string, unknown, Partial<JobFailure>]>([
    [
      "a message of 70 KB",
      new ToolError("MINE", "m".repeat(70_000)),
      { code: "MINE", message: `${"m".repeat(65_533)}…` },
    ],
    [
      "characters that cannot be stored",
      new ToolError("MINE\0", "a\0\uD800"),
      { code: "MINE\uFFFD", message: "a\uFFFD\uFFFD" },
    ],
    ["a message that throws", withoutMessage, { code: "MINE" }],
    ["a cause that is itself", selfCaused, { code: "MINE", message: "x" }],
    ["a code of 129 characters", new ToolError("😀".repeat(129), "x"), { code: "😀".repeat(128), message: "x" }],
    ["odd characters in its code", new ToolError("not found!", "x"), { code: "not found!" }],
    ["a code that is a number", new ToolError(404 as never, "x"), { code: "404" }],
    [
      "a class and a name of its own",
      new MoneyError("MINE", "x", { nonRetryable: true }),
      { code: "MINE", nonRetryable: true },
    ],
    [
      "details that throw",
      new ToolError("MINE", "x", { details: cycle as never }),
      { code: "MINE", details: Buffer.alloc(0) },
    ],
  ])("keeps the code of a ToolError with %s", (_what, error, expected) => {
    const { code, message, nonRetryable, details } = failureOf(resultOfError("t", error));
    expect({ code, message, nonRetryable, details: Buffer.from(details) }).toMatchObject(expected);
  });

  it("leaves out details that are too large or no JSON", () => {
    for (const details of ["x".repeat(70_000), Number.NaN]) {
      expect(failureOf(resultOfError("t", new ToolError("A", "b", { details }))).details).toHaveLength(0);
    }
  });
});
