// The bound that a field's comment promises is the bound of its rule.
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const FOLDER = "proto/abstractruntime/v1";

/** What a comment promises beside the field's rule, and where it is checked. */
const CHECKED_ELSEWHERE = new Set([
  // The size of any JSON value: core/json/json.ts.
  "arguments: 1048576",
  // The names of a path: core/json/pointer.ts.
  "result_key: 32",
  // The size of a whole frame: rpc/request-decoding.ts.
  "results: 3145728",
]);

type Field = { name: string; comment: string; rules: string };

/** The fields of a file with their comments, as far as they have both comments and rules. */
function readFields(source: string): Field[] {
  const pattern = /((?:^ *\/\/.*\n)+) *(?:repeated |optional )?[\w.<>, ]+ (\w+) = \d+ (\[[^;]*\]);$/gm;
  return [...source.matchAll(pattern)].map(([, comment, name, rules]) => ({
    name: name!,
    comment: comment!.replaceAll(/\s*\/\/ ?/g, " "),
    rules: rules!,
  }));
}

/** The largest values that a comment promises, such as `At most 64 KiB` or `1 to 128 characters`. */
function promisedBounds(comment: string): number[] {
  const units: Record<string, number> = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
  // What a template evaluates to and where it is checked is not the field's own rule.
  const own = comment.replaceAll(/template,? (that|of)[^.]*|it may evaluate[^.]*|docs\/[^ ]*/g, "");
  const pattern = /(?:[Aa]t most|\d(?: bytes?)? to) ([\d,]*\d)(?: (KiB|MiB|GiB))?/g;
  return [...own.matchAll(pattern)].map(
    ([, number, unit]) => Number(number!.replaceAll(",", "")) * (units[unit!] ?? 1),
  );
}

describe("comments promise the bounds of the rules", () => {
  for (const file of readdirSync(FOLDER).filter((name) => name.endsWith(".proto"))) {
    const fields = readFields(readFileSync(`${FOLDER}/${file}`, "utf8"));
    test(file, () => {
      const wrong = fields.flatMap(({ name, comment, rules }) => {
        const numbers = [...rules.matchAll(/\d+/g)].map(([digits]) => Number(digits));
        // `{0,127}` after one character is 128 characters.
        const bounds = new Set([...numbers, ...numbers.map((number) => number + 1)]);
        return promisedBounds(comment).flatMap((bound) => (bounds.has(bound) ? [] : [`${name}: ${bound}`]));
      });
      expect(wrong.filter((promise) => !CHECKED_ELSEWHERE.has(promise))).toEqual([]);
    });
  }

  test("and most fields promise one", () => {
    const fields = readdirSync(FOLDER)
      .filter((name) => name.endsWith(".proto"))
      .flatMap((name) => readFields(readFileSync(`${FOLDER}/${name}`, "utf8")));
    expect(fields.filter((field) => promisedBounds(field.comment).length > 0).length).toBeGreaterThan(100);
  });
});
