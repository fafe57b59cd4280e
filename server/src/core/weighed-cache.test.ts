import { expect, test } from "vitest";
import { createWeighedCache } from "./weighed-cache.ts";

test("what was used least recently is dropped first, by weight", () => {
  const cache = createWeighedCache<string>(10);
  cache.put("a", "A", 4);
  cache.put("b", "B", 4);
  cache.get("a");
  cache.put("c", "C", 4);
  expect([cache.get("a"), cache.get("b"), cache.get("c")]).toEqual(["A", undefined, "C"]);
  expect(cache.weight()).toBe(8);
});

test("a value that weighs more than the whole cache is not kept, and drops nothing else", () => {
  const cache = createWeighedCache<string>(10);
  cache.put("a", "A", 4);
  cache.put("b", "B", 11);
  expect([cache.get("a"), cache.get("b")]).toEqual(["A", undefined]);
});

test("a value that is put again counts once", () => {
  const cache = createWeighedCache<string>(10);
  for (let i = 0; i < 5; i++) cache.put("a", `A${i}`, 4);
  cache.put("b", "B", 6);
  expect([cache.get("a"), cache.get("b"), cache.weight()]).toEqual(["A4", "B", 10]);
});
