import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { canonicalJson, type Json, parseJson } from "./json.ts";
import { applyPatch, parsePointer, PatchError, type PatchOp, pointerFromDotted, valueAt } from "./pointer.ts";
import { pointerText } from "./pointer-text.ts";

function frozen<T extends Json>(value: T): T {
  if (value !== null && typeof value === "object") {
    for (const item of Object.values(value)) frozen(item);
    Object.freeze(value);
  }
  return value;
}

describe("parsePointer", () => {
  test.each([
    ["", []],
    ["/", [""]],
    ["/a/b/0", ["a", "b", "0"]],
    ["/a~1b/c~0d/~01", ["a/b", "c~d", "~1"]],
    ["/constructor", ["constructor"]],
  ])("%j", (pointer, segments) => expect(parsePointer(pointer)).toEqual(segments));

  test.each(["a", "#/a", "/a~", "/a~2", "/__proto__", "/a/__proto__/b", "/a".repeat(33), "/" + "a".repeat(9_000)])(
    "refuses %s",
    (pointer) => expect(() => parsePointer(pointer)).toThrow(PatchError),
  );
});

test("pointerText writes what parsePointer reads", () => {
  expect(pointerText([])).toBe("");
  expect(pointerText(["a/b", 0, "c~1", ""])).toBe("/a~1b/0/c~01/");
  const name = fc.string({ unit: fc.constantFrom("a", "~", "/", "0", "1") });
  fc.assert(
    fc.property(fc.array(name, { maxLength: 32 }), (segments) => {
      expect(parsePointer(pointerText(segments))).toEqual(segments);
    }),
  );
});

describe("pointerFromDotted", () => {
  test.each([
    ["a", "/a"],
    ["a.b.0", "/a/b/0"],
    ["order-id.line_1", "/order-id/line_1"],
    [Array.from({ length: 32 }, () => "a").join("."), "/a".repeat(32)],
    ["a".repeat(128), "/" + "a".repeat(128)],
  ])("%s", (dotted, pointer) => expect(pointerFromDotted(dotted)).toBe(pointer));

  test.each([
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "a b",
    "a/b",
    "a[0]",
    "é",
    "__proto__",
    "a.__proto__",
    "a".repeat(129),
    "a.".repeat(33) + "a",
  ])("refuses %s", (dotted) => expect(() => pointerFromDotted(dotted)).toThrow(PatchError));
});

describe("valueAt", () => {
  const root = parseJson('{"a":{"b":[1,{"c":null}]},"":2}');
  test.each<[string, Json | undefined]>([
    ["/a/b/0", 1],
    ["/a/b/1/c", null],
    ["/", 2],
    ["/a/b/2", undefined],
    ["/a/b/01", undefined],
    ["/a/b/-", undefined],
    ["/a/b/length", undefined],
    ["/a/x/y", undefined],
    ["/a/b/0/x", undefined],
    ["/toString", undefined],
  ])("%j", (pointer, value) => expect(valueAt(root, pointer)).toEqual(value));
});

describe("applyPatch", () => {
  const root = frozen(parseJson('{"a":1,"list":[1,2],"deep":{"x":{"y":1}},"n":null}'));

  test.each<[string, PatchOp[], string]>([
    ["sets", [{ op: "set", path: "/a", value: 2 }], '{"a":2,"deep":{"x":{"y":1}},"list":[1,2],"n":null}'],
    ["sets the whole", [{ op: "set", path: "", value: [1] }], "[1]"],
    [
      "sets null",
      [
        { op: "set", path: "/a", value: null },
        { op: "unset", path: "/deep" },
        { op: "unset", path: "/list" },
      ],
      '{"a":null,"n":null}',
    ],
    [
      "sets an element",
      [{ op: "set", path: "/list/1", value: 9 }],
      '{"a":1,"deep":{"x":{"y":1}},"list":[1,9],"n":null}',
    ],
    [
      "makes objects on the way",
      [
        { op: "set", path: "", value: {} },
        { op: "set", path: "/p/0/q", value: 1 },
      ],
      '{"p":{"0":{"q":1}}}',
    ],
    [
      "appends",
      [{ op: "append", path: "/list", values: [3, 4] }],
      '{"a":1,"deep":{"x":{"y":1}},"list":[1,2,3,4],"n":null}',
    ],
    [
      "appends to what is missing",
      [
        { op: "set", path: "", value: {} },
        { op: "append", path: "/p/q", values: [1] },
        { op: "append", path: "/p/q", values: [2] },
      ],
      '{"p":{"q":[1,2]}}',
    ],
    [
      "appends nothing to what is missing",
      [
        { op: "set", path: "", value: {} },
        { op: "append", path: "/p", values: [] },
      ],
      '{"p":[]}',
    ],
    ["unsets a member", [{ op: "unset", path: "/deep/x/y" }], '{"a":1,"deep":{"x":{}},"list":[1,2],"n":null}'],
    ["unsets an element", [{ op: "unset", path: "/list/0" }], '{"a":1,"deep":{"x":{"y":1}},"list":[2],"n":null}'],
    [
      "applies in order",
      [
        { op: "set", path: "/a", value: [] },
        { op: "append", path: "/a", values: [1] },
        { op: "set", path: "/a/0", value: 2 },
      ],
      '{"a":[2],"deep":{"x":{"y":1}},"list":[1,2],"n":null}',
    ],
    [
      "keeps names of Object.prototype apart",
      [
        { op: "set", path: "", value: {} },
        { op: "set", path: "/constructor/name", value: 1 },
      ],
      '{"constructor":{"name":1}}',
    ],
  ])("%s", (_, ops, text) => {
    const before = canonicalJson(root);
    const result = applyPatch(root, frozen(ops as unknown as Json) as unknown as PatchOp[]);
    expect(canonicalJson(result)).toBe(text);
    expect(canonicalJson(root)).toBe(before);
  });

  test.each<PatchOp>([
    { op: "unset", path: "/nope" },
    { op: "unset", path: "/nope/x" },
    { op: "unset", path: "/a/x" },
    { op: "unset", path: "/n/x" },
    { op: "unset", path: "/list/7" },
    { op: "unset", path: "/deep/x/z" },
  ])("unset of what is missing changes nothing: %j", (op) => expect(applyPatch(root, [op])).toBe(root));

  const given = frozen(parseJson('{"results":[{"output":5},{"output":null}],"items":[7,8]}'));
  const result = frozen(parseJson('{"answer":"yes"}'));
  test.each<[PatchOp, Json]>([
    [{ op: "set", path: "/r", of: "given" }, given],
    [{ op: "set", path: "/r", of: "given", at: "/results/0/output" }, 5],
    [{ op: "set", path: "/r", of: "given", at: "/results/1/output" }, null],
    [{ op: "append", path: "/r", of: "given", at: "/items" }, [7, 8]],
    [{ op: "set", path: "/r", of: "result", at: "/answer" }, "yes"],
  ])("takes from what is given or from the result: %j", (op, value) =>
    expect(applyPatch({}, [op], { given, result })).toEqual({ r: value }),
  );

  test("shares what it does not touch and takes a given value as it is", () => {
    const patched = applyPatch(root, [{ op: "set", path: "/r", of: "given" }], { given }) as { [key: string]: Json };
    expect(patched["r"]).toBe(given);
    expect(patched["deep"]).toBe((root as { [key: string]: Json })["deep"]);
    expect("toString" in patched).toBe(false);
  });

  test("does not change a value that an operation carries", () => {
    const value = frozen([1] as Json[]);
    const ops: PatchOp[] = [
      { op: "set", path: "/x", value },
      { op: "set", path: "/y", value },
      { op: "append", path: "/x", values: [2] },
      { op: "append", path: "/x", values: [3] },
    ];
    expect(applyPatch({}, ops)).toEqual({ x: [1, 2, 3], y: [1] });
    const shared = frozen([0] as Json[]);
    expect(
      applyPatch({}, [
        { op: "append", path: "/x", values: shared },
        { op: "append", path: "/x", values: shared },
      ]),
    ).toEqual({ x: [0, 0] });
    expect(shared).toEqual([0]);
  });

  test.each<[string, PatchOp, Json | undefined]>([
    ["an index at the end", { op: "set", path: "/list/2", value: 1 }, undefined],
    ["an index beyond the end", { op: "set", path: "/list/5/x", value: 1 }, undefined],
    ["no index", { op: "set", path: "/list/-", value: 1 }, undefined],
    ["a leading zero", { op: "set", path: "/list/00", value: 1 }, undefined],
    ["a member of a list", { op: "unset", path: "/list/length" }, undefined],
    ["a scalar on the way", { op: "set", path: "/a/b", value: 1 }, undefined],
    ["null on the way", { op: "set", path: "/n/b", value: 1 }, undefined],
    ["append to a scalar", { op: "append", path: "/a", values: [1] }, undefined],
    ["append to null", { op: "append", path: "/n", values: [1] }, undefined],
    ["append to an object", { op: "append", path: "/deep", values: [1] }, undefined],
    ["unset of the whole", { op: "unset", path: "" }, undefined],
    ["no given", { op: "set", path: "/x", of: "given" }, undefined],
    ["nothing there in given", { op: "set", path: "/x", of: "given", at: "/nope" }, given],
    ["given is no list", { op: "append", path: "/x", of: "given", at: "/results/0" }, given],
    ["__proto__", { op: "set", path: "/__proto__/x", value: 1 }, undefined],
    ["not a pointer", { op: "set", path: "a", value: 1 }, undefined],
  ])("refuses %s", (_, op, from) => {
    const before = canonicalJson(root);
    expect(() => applyPatch(root, [op], from === undefined ? {} : { given: from })).toThrow(PatchError);
    expect(canonicalJson(root)).toBe(before);
  });

  test("one by one or all at once gives the same", () => {
    const path = fc
      .array(fc.constantFrom("a", "b", "0", "1"), { minLength: 1, maxLength: 3 })
      .map((parts) => "/" + parts.join("/"));
    const json = fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<Json>;
    const op: fc.Arbitrary<PatchOp> = fc.oneof(
      fc.record({ op: fc.constant("set" as const), path, value: json }),
      fc.record({ op: fc.constant("append" as const), path, values: fc.array(json, { maxLength: 2 }) }),
      fc.record({ op: fc.constant("unset" as const), path }),
    );
    fc.assert(
      fc.property(fc.array(op, { maxLength: 8 }), (ops) => {
        const accepted: PatchOp[] = [];
        let stepwise: Json = {};
        for (const each of ops) {
          try {
            stepwise = applyPatch(stepwise, [frozen(each as unknown as Json) as unknown as PatchOp]);
            accepted.push(each);
          } catch (error) {
            expect(error).toBeInstanceOf(PatchError);
          }
        }
        expect(canonicalJson(applyPatch({}, accepted))).toBe(canonicalJson(stepwise));
      }),
      { numRuns: 1_000 },
    );
  });
});
