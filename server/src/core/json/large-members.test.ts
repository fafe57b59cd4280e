import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { type Json, JSON_BYTES_MAX, JSON_DEPTH_MAX } from "./json.ts";
import { largeMembersOf } from "./large-members.ts";
import { applyPatch } from "./pointer.ts";
import { handlerPayloadText, smallHandlerPayloadText } from "../handler-request.ts";
import { assertVarsFit } from "../complete-step.ts";

const LARGE = "x".repeat(3_000);

describe("largeMembersOf", () => {
  const cases: [string, Json, string[]][] = [
    ["scalars", { a: 1, b: null, c: true, d: "" }, []],
    ["a text at the bound", { a: "x".repeat(2_046), b: "x".repeat(2_047) }, ["b"]],
    [
      "lists and objects, whatever makes them long",
      { a: [LARGE], b: { c: { d: LARGE } }, e: { [LARGE]: 1 } },
      ["a", "b", "e"],
    ],
    [
      "many small things",
      { a: Array.from({ length: 1_000 }, () => 1), b: Array.from({ length: 100 }, () => 1) },
      ["a"],
    ],
    ["members in the order of the object", { z: LARGE, "1": LARGE, a: LARGE }, ["1", "z", "a"]],
    ["a name too long for a key", { ["n".repeat(257)]: LARGE, ["n".repeat(256)]: LARGE }, ["n".repeat(256)]],
    ["a list", [LARGE], []],
    ["a text", LARGE, []],
    ["null", null, []],
  ];
  it.each(cases)("finds those of %s", (_what, vars, names) => {
    expect([...largeMembersOf(vars).keys()]).toEqual(names);
  });

  it("depends on the value alone", () => {
    const vars = { list: [LARGE, { a: LARGE }], text: LARGE, small: [1] };
    const read = JSON.parse(JSON.stringify(vars)) as Json;
    largeMembersOf(vars);
    const changed = applyPatch(vars, [{ op: "set", path: "/small", value: [LARGE] }]);
    const entriesOf = (of: Json, before?: Json) =>
      [...largeMembersOf(of, before)].map(([name, { text, size }]) => [name, text, size]);
    expect(entriesOf(read)).toEqual(entriesOf(vars));
    expect(entriesOf(changed, vars)).toEqual(entriesOf(JSON.parse(JSON.stringify(changed)) as Json));
  });

  it("takes over what is the same, texts among it, and nothing that is not", () => {
    const vars = { list: [LARGE], text: LARGE, other: LARGE };
    const before = largeMembersOf(vars);
    const changed = applyPatch(vars, [
      { op: "set", path: "/small", value: 1 },
      { op: "set", path: "/other", value: `${LARGE}!` },
    ]);
    const after = largeMembersOf(changed, vars);
    expect(after.get("list")).toBe(before.get("list"));
    expect(after.get("text")).toBe(before.get("text"));
    expect(after.get("other")?.text).toBe(JSON.stringify(`${LARGE}!`));
    expect(largeMembersOf(changed)).toBe(after);
  });
});

describe("assertVarsFit", () => {
  const half = "x".repeat(JSON_BYTES_MAX / 2);
  const nested = (levels: number): Json => (levels === 0 ? LARGE : [nested(levels - 1)]);
  const cases: [string, Json, RegExp | undefined][] = [
    ["exactly full", { a: half, b: "x".repeat(JSON_BYTES_MAX / 2 - 15) }, undefined],
    ["one byte more", { a: half, b: "x".repeat(JSON_BYTES_MAX / 2 - 14) }, /more than 1048576 bytes of JSON text/],
    [
      "too large by the small ones",
      { a: half, b: half.slice(1_000), c: ["x".repeat(2_000)] },
      /more than 1048576 bytes/,
    ],
    ["as deep as may be", { a: nested(JSON_DEPTH_MAX - 1) }, undefined],
    ["one level deeper", { a: nested(JSON_DEPTH_MAX) }, /more than 32 levels deep \(at \/a\/0/],
    ["a number that is none", { a: [LARGE, Number.NaN] }, /double cannot hold.*\/a\/1/],
  ];
  it.each(cases)("checks vars that are %s, also when parts were measured before", (_what, vars, message) => {
    const grown = applyPatch(vars, [{ op: "set", path: "/a", value: (vars as { a: Json }).a }]);
    for (const before of [null, vars, grown]) {
      const check = () => assertVarsFit(grown, before);
      if (message === undefined) expect(check).not.toThrow();
      else expect(check).toThrow(message);
    }
  });
});

describe("the payload of a handler", () => {
  const others = { run: { run_id: "r" }, error: null, now: "2026-01-02T03:04:05.678901Z" };
  const cases: [string, Json][] = [
    ["small", { a: 1, b: "ü" }],
    ["none", {}],
    ["no object", [LARGE]],
    ["large ones only", { a: LARGE, b: [LARGE] }],
    [
      "large ones first, in the middle and last",
      { a: LARGE, b: 1, "c\n": { d: `\uFEFFü😀${LARGE}` }, e: null, f: [LARGE] },
    ],
    ["large ones among small ones", { a: 1, b: `\uFEFFü😀${LARGE}`, c: [2] }],
  ];
  it.each(cases)("is the same JSON, however often, whole or put together, with vars that are %s", (_what, vars) => {
    const text = JSON.stringify({ vars, ...others });
    for (let times = 0; times < 2; times++) {
      expect(handlerPayloadText({ vars, ...others })).toBe(text);
    }
    const small = JSON.parse(smallHandlerPayloadText({ vars, ...others })) as { vars: Record<string, Json> };
    for (const [name, { text: memberText, digest }] of largeMembersOf(vars)) {
      expect(memberText).toBe(JSON.stringify((vars as Record<string, Json>)[name]));
      expect(digest).toBe(createHash("sha256").update(memberText).digest("base64"));
      expect(small.vars[name]).toBeNull();
      small.vars[name] = JSON.parse(memberText) as Json;
    }
    expect(JSON.stringify(small)).toBe(text);
  });
});
