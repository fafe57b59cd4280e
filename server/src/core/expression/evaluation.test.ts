import { describe, expect, test } from "vitest";

import { errorOf } from "../../../../tests/support/evaluate-source.ts";
import { compileExpression } from "./compile.ts";
import { evaluate } from "./evaluate.ts";
import { createBudget, EXPRESSION_STEPS_MAX } from "./evaluation.ts";

describe("expressions that would run for ever stop", () => {
  const large = {
    text: "a".repeat(900_000),
    list: Array.from({ length: 50_000 }, (_, i) => i),
    map: Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`k${i}`, i])),
    pattern: "[\\p{L}]{1,400}$",
  };
  const twice = (start: string, step: string, last = "a", times = 30): string =>
    `cel.bind(a,${start},` + `cel.bind(a,${step},`.repeat(times) + last + ")".repeat(times + 1);

  test.each<[string, string]>([
    ["nested loops", "range(1000).all(a, range(1000).all(b, true))"],
    ["deeply nested loops", "range(99).map(a, range(99).map(b, range(99).map(c, range(99).map(d, 1))))"],
    ["errors that are swallowed", "range(100000).exists(a, vars.nope)"],
    ["a loop over a map", "range(1000).all(i, vars.map.all(k, true))"],
    ["string doubling", twice("'xxxxxxxxxxxxxxxx'", "a+a")],
    ["list doubling", twice("[1,2,3,4]", "a+a")],
    ["a result that shares its parts", twice("[1]", "[a,a]")],
    ["JSON of what shares its parts", twice("[1]", "[a,a]", "json(a)")],
    ["text of what shares its parts", twice("[1]", "[a,a]", "'%s'.format([a])")],
    ["equality of what shares its parts", twice("[1]", "[a,a]", "a == a + []")],
    ["a regular expression in a loop", "range(1000).all(i, vars.text.matches('^(a|aa)*$'))"],
    ["a slow regular expression", "vars.text.matches('[\\\\pL]{1,400}$')"],
    ["regular expressions made in a loop", "range(1000).all(i, 'aaaa'.matches(vars.pattern))"],
    ["searching in a loop", "range(100000).all(i, !vars.text.contains('b'))"],
    ["cutting in a loop", "range(100000).all(i, vars.text.substring(i).size() > 0)"],
    ["writing JSON in a loop", "range(1000).all(i, json(vars.list) != '')"],
    ["reading JSON in a loop", "range(1000).all(i, parseJson(json(vars.list)) == vars.list)"],
    ["merging in a loop", "range(10000).all(i, merge(vars.map, vars.map) != {})"],
    ["formatting in a loop", "range(1000).all(i, '%s%s'.format([vars.list, vars.list]) != '')"],
    ["time zones in a loop", "range(100000).all(i, timestamp(0).getHours('Asia/Tokyo') == 9)"],
    ["membership in a loop", "range(100000).all(i, !(-1 in vars.list))"],
    ["a long range", "range(1000000000)"],
    ["a long list", "vars.list + vars.list + vars.list"],
    ["many parts", "vars.text.split('')"],
    ["a replacement that grows", "vars.text.replace('a', vars.text)"],
    ["a long string", "vars.text + vars.text"],
    ["a large result", "[vars.text, vars.text]"],
    ["a deep result", "[".repeat(40) + "1" + "]".repeat(40)],
  ])("%s", (_, source) => {
    const error = errorOf(() => evaluate(compileExpression(source, { variables: ["vars"] }), { vars: large }));
    expect(error.code).toBe("EXPRESSION_LIMIT");
  });

  test("and ordinary ones do not", () => {
    const expression = compileExpression("sum(vars.list.filter(x, x % 2 == 0)) + size(vars.text)", {
      variables: ["vars"],
    });
    expect(evaluate(expression, { vars: { ...large, list: large.list.slice(0, 5_000) } })).toBe(
      6_247_500 - 0 + 900_000,
    );
  });

  test("expressions that share a budget stop together", () => {
    const expression = compileExpression("range(1000).all(i, true)", { variables: [] });
    const budget = createBudget();
    let times = 0;
    const error = errorOf(() => {
      for (; times < EXPRESSION_STEPS_MAX; times++) evaluate(expression, {}, budget);
    });
    expect(error.code).toBe("EXPRESSION_LIMIT");
    expect(times).toBeGreaterThan(10);
  });
});
