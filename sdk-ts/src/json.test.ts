import { Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { Client } from "./client.ts";
import { callTools, emit } from "./effects/effects.ts";
import { resultOfOutput } from "./job-result.ts";
import { jsonOf, NotJsonError } from "./json.ts";
import { assign, completeRun } from "./nodes/nodes.ts";
import { goTo } from "./step-plan.ts";

class Point {
  readonly x = 1;
  readonly #y = 2;
  get sum(): number {
    return this.x + this.#y;
  }
}
class Sealed {
  readonly #secret = 1;
  get secret(): number {
    return this.#secret;
  }
}
class HttpError extends Error {
  readonly status = 500;
  toJSON(): object {
    return { status: this.status };
  }
}
const cycle: { list: unknown[] } = { list: [] };
cycle.list.push(cycle);
// Each level has the level below twice: a text without end from 40 objects.
let doubled: unknown = "x".repeat(1_000);
for (let level = 0; level < 40; level++) doubled = [doubled, doubled];

/** What JSON.stringify would write as something else, by what the message says of it. */
const FOREIGN: [string, unknown][] = [
  ["an error", new TypeError("it broke")],
  ["an error with a toJSON", new HttpError("it broke")],
  ["a Map", new Map([[1, 2]])],
  ["a Set", new Set([1])],
  ["a WeakMap", new WeakMap()],
  ["a promise", Promise.resolve(1)],
  ["bytes", new Uint8Array(3)],
  ["a Buffer", Buffer.from("abc")],
  ["a DataView", new DataView(new ArrayBuffer(1))],
  ["an ArrayBuffer", new ArrayBuffer(1)],
  ["a stream", Readable.from(["a"])],
  ["a web stream", new ReadableStream()],
  ["a response", new Response("a")],
  ["headers", new Headers({ a: "b" })],
  ["search params", new URLSearchParams("a=b")],
  ["a blob", new Blob(["a"])],
  [
    "a generator",
    (function* letters() {
      yield "a";
    })(),
  ],
  [
    "an async generator",
    (async function* letters() {
      yield "a";
    })(),
  ],
  ["a regular expression", /a/],
  ["an object with private members only", new Sealed()],
  ["a boxed number", Object(1)],
  ["a boxed string", Object("a")],
  ["an invalid date", new Date(Number.NaN)],
  ["a function", () => 1],
  ["a class", Point],
  ["a symbol", Symbol("a")],
  ["a bigint", 1n],
  ["NaN", Number.NaN],
  ["an infinite number", -Infinity],
  ["undefined in a list", [1, undefined]],
  // eslint-disable-next-line no-sparse-arrays -- the hole is meant
  ["a hole in a list", [1, , 2]],
  ["half a character", "a\uD800"],
  ["U+0000", "a\0"],
  ["a name with U+0000", { "a\0": 1 }],
  ["a cycle", cycle],
  [
    "a toJSON that throws",
    {
      toJSON: () => {
        throw new Error("no");
      },
    },
  ],
  ["a toJSON that returns a Map", { toJSON: () => new Map() }],
];

describe("what JSON would quietly change is refused", () => {
  it.each(FOREIGN)("%s", (_what, value) => {
    expect(() => jsonOf({ at: [value] })).toThrow(NotJsonError);
    // The message names the place.
    expect(() => jsonOf({ at: [value] })).toThrow(/ is not JSON: \/at\/0/);
  });

  it.each(FOREIGN)("%s, wherever a value leaves the program", async (_what, value) => {
    const member = { value: [value] };
    expect(resultOfOutput("t", member).outcome.value).toMatchObject({ code: "RESULT_INVALID", nonRetryable: true });
    expect(() => goTo("a", { set: member })).toThrow(NotJsonError);
    expect(() => goTo("a", { append: member as never })).toThrow(NotJsonError);
    expect(() => goTo("a", { patch: [{ op: "set", path: "/a", ...member }] })).toThrow(NotJsonError);
    expect(() => completeRun(member)).toThrow(NotJsonError);
    expect(() => emit({ name: "a", payload: member as never })).toThrow(NotJsonError);
    expect(() => callTools({ calls: [{ name: "a", arguments: member as never }] })).toThrow(NotJsonError);
    expect(() => assign({ values: member }, { next: "a" })).toThrow(NotJsonError);
    // No server is asked.
    const client = new Client({ addresses: "http://127.0.0.1:9" });
    await expect(client.start("a", member)).rejects.toThrow(NotJsonError);
    await expect(client.respond("run", member, { waitId: "w" })).rejects.toThrow(NotJsonError);
    await expect(client.emit({ name: "a", scope: "global", payload: member })).rejects.toThrow(NotJsonError);
    client.close();
  });

  it("a small value with a text without end", () => {
    expect(() => jsonOf(doubled)).toThrow(/characters as JSON text/);
    expect(resultOfOutput("t", doubled).outcome.value).toMatchObject({ code: "RESULT_TOO_LARGE" });
  });
});

describe("what is JSON is copied", () => {
  it.each<[string, unknown, unknown]>([
    ["a date", new Date(0), "1970-01-01T00:00:00.000Z"],
    ["a URL", new URL("http://a.example/b"), "http://a.example/b"],
    ["-0", -0, 0],
    ["the members of an object of a class", new Point(), { x: 1 }],
    ["an object without a prototype", Object.assign(Object.create(null) as object, { a: 1 }), { a: 1 }],
    ["the groups of a match", /(?<a>.)/.exec("x")?.groups, { a: "x" }],
    ["a match", /(.)/.exec("x"), ["x", "x"]],
    [
      "members that are undefined, and symbols as names",
      { a: undefined, b: [{ c: undefined }], [Symbol("d")]: 1 },
      { b: [{}] },
    ],
    ["a toJSON with the name of its member", { a: { toJSON: (key: string) => `at ${key}` } }, { a: "at a" }],
    ["one value at two places", ((one) => [one, one])({ a: 1 }), [{ a: 1 }, { a: 1 }]],
  ])("%s", (_what, value, json) => {
    expect(jsonOf(value)).toStrictEqual(json);
  });

  it("a member called __proto__ stays a member", () => {
    expect(JSON.stringify(jsonOf(JSON.parse('{"__proto__":{"a":1}}')))).toBe('{"__proto__":{"a":1}}');
  });
});
