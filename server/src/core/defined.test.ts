import { expect, test } from "vitest";
import { defined } from "./defined.ts";

test("keeps what is given, in its order, and leaves out what is undefined", () => {
  const members = defined({ b: 1, a: undefined, c: null, d: "", e: false });
  expect(Object.keys(members)).toEqual(["b", "c", "d", "e"]);
  expect(members).toStrictEqual({ b: 1, c: null, d: "", e: false });
});
