import { expect, test } from "vitest";
import { type TextBounds, textProblem } from "./text-bounds.ts";

const named: TextBounds = { minLength: 1, pattern: "^[^*\\p{Cc}]{1,3}$", message: "must be a name" };

test.each<[string, TextBounds]>([
  ["", {}],
  ["", { maxLength: 2 }],
  ["ab", { minLength: 2, maxLength: 2 }],
  ["😀😀", { minLength: 2, maxLength: 2 }],
  ["é", { maxBytes: 2 }],
  ["😀😀😀", named],
])("%j keeps its bounds %j", (text, bounds) => {
  expect(textProblem(text, bounds)).toBeUndefined();
});

test.each<[string, TextBounds, string]>([
  ["abc", { maxLength: 2 }, "must be at most 2 characters"],
  ["😀😀😀", { minLength: 1, maxLength: 2 }, "must be 1 to 2 characters"],
  ["", { minLength: 1, maxLength: 2 }, "must be 1 to 2 characters"],
  ["😀", { minLength: 2, maxLength: 3 }, "must be 2 to 3 characters"],
  ["éé", { maxBytes: 3 }, "must be at most 3 bytes"],
  ["", { minLength: 1, maxBytes: 3 }, "must be 1 to 3 bytes"],
  ["a b", { pattern: "^[a-z]*$" }, "must match ^[a-z]*$"],
  ["", named, "must be a name"],
  ["a*", named, "must be a name"],
  ["a\u0085", named, "must be a name"],
  ["😀😀😀😀", named, "must be a name"],
])("%j does not keep %j", (text, bounds, problem) => {
  expect(textProblem(text, bounds)).toBe(problem);
});
