import { describe, expect, test } from "vitest";
import type { Json } from "./json.ts";
import { jsonText } from "./json-text.ts";

/** An object that counts how often it is written as text. */
function countedObject(text: string): { value: { text: string }; writes(): number } {
  let writes = 0;
  const value = { text };
  Object.defineProperty(value, "toJSON", {
    value() {
      writes += 1;
      return { text };
    },
  });
  return { value, writes: () => writes };
}

describe("jsonText", () => {
  test.each<Json>([null, true, 1.5, "a\n", [], ["a", null], { a: { b: "x".repeat(5_000) } }])("writes %j", (value) => {
    expect(jsonText(value)).toBe(JSON.stringify(value));
    expect(jsonText(value)).toBe(JSON.stringify(value));
  });

  test("writes a large value once, and an equal one again", () => {
    const one = countedObject("x".repeat(10_000));
    const other = countedObject("x".repeat(10_000));
    expect(jsonText(one.value)).toBe(jsonText(one.value));
    expect(jsonText(one.value)).toBe(jsonText(other.value));
    expect([one.writes(), other.writes()]).toEqual([1, 1]);
  });
});
