import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { runOf } from "../../../tests/support/test-world.ts";
import { keptCode, keptMessage } from "./failure-text.ts";
import type { HandlerOutcome } from "./handler-request.ts";
import type { Json } from "./json/json.ts";

const KIB_64 = 64 * 1024;

describe("a text of a failure", () => {
  test.each<[string, string, string]>([
    ["as it is", "NO_FUNDS", "NO_FUNDS"],
    ["of odd characters, as it is", "not found! 404 é 😀", "not found! 404 é 😀"],
    ["with U+0000 and half a character", "a\0b\uD800c\uDC00", "a\uFFFDb\uFFFDc\uFFFD"],
    ["of 129 characters", "😀".repeat(129), "😀".repeat(128)],
  ])("keeps a code %s", (_what, code, kept) => {
    expect(keptCode(code)).toBe(kept);
  });

  test("keeps as much of a message as fits, and marks the cut", () => {
    expect(keptMessage("m".repeat(KIB_64))).toBe("m".repeat(KIB_64));
    expect(keptMessage("m".repeat(KIB_64 + 1))).toBe(`${"m".repeat(KIB_64 - 3)}…`);
    expect(keptMessage("x".repeat(10), 9)).toBe("xxxxxx…");
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 60 }), fc.integer({ min: 3, max: 60 }), (text, bytesMax) => {
        const kept = keptMessage(text, bytesMax);
        expect(Buffer.byteLength(kept)).toBeLessThanOrEqual(bytesMax);
        expect(kept.isWellFormed() && !kept.includes("\0")).toBe(true);
        // A character is cut as a whole.
        if (kept !== text.replaceAll("\0", "\uFFFD")) expect(Buffer.byteLength(kept)).toBeGreaterThan(bytesMax - 4);
      }),
    );
  });
});

describe("a failure of the user's own never loses its code to its text", () => {
  const vars = { long: "m".repeat(70_000), code: "C".repeat(129) };
  test.each<[string, { code: string; message?: string }, object]>([
    ["a message of 70 KB", { code: "MINE", message: "${vars.long}" }, { code: "MINE", message: /^m{65533}…$/ }],
    [
      "a message that cannot be evaluated",
      { code: "MINE", message: "${vars.none}" },
      { code: "MINE", message: /none/ },
    ],
    ["a message over a limit", { code: "MINE", message: "${vars.long + vars.long}" }, { code: "MINE", message: /…$/ }],
    ["a code of 129 characters", { code: "${vars.code}" }, { code: "C".repeat(128), message: /^$/ }],
    ["odd characters in its code", { code: "not a word!" }, { code: "not a word!", message: /^$/ }],
  ])("of a fail node: %s", (_what, fail, { code, message }: { code?: string; message?: RegExp }) => {
    const { state } = runOf({ it: { fail } }, { vars });
    expect(state).toMatchObject({ status: "failed", error: { code, node_id: "it" } });
    expect(state.error?.message).toMatch(message!);
  });

  test.each<[string, Json, object]>([
    ["a message of 70 KB", { code: "MINE", message: "m".repeat(70_000) }, { code: "MINE", message: /^m{65533}…$/ }],
    ["a message of more bytes", { code: "MINE", message: "é".repeat(40_000) }, { code: "MINE", message: /^é+…$/ }],
    ["U+0000 in its message", { code: "MINE", message: "a\0b" }, { code: "MINE", message: /^a\uFFFDb$/ }],
    ["half a character in its code", { code: "MINE\uD800", message: "" }, { code: "MINE\uFFFD", message: /^$/ }],
    ["a code of 129 characters", { code: "C".repeat(129) }, { code: "C".repeat(128), message: /^$/ }],
  ])("of a step plan: %s", (_what, fail, { code, message }: { code?: string; message?: RegExp }) => {
    const outcome: HandlerOutcome = { type: "plan", output: { fail } };
    const run = runOf({ it: { handler: {}, next: [{ to: "it" }] } }, { handler: () => outcome });
    expect(run.state).toMatchObject({ status: "failed", error: { code, node_id: "it" } });
    expect(run.state.error?.message).toMatch(message!);
  });
});
