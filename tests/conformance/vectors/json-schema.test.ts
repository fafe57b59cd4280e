/**
 * The official vectors of JSON Schema 2020-12 (third_party/json-schema-test-suite), on the validator of vars and
 * answers. A vector passes, or json-schema-exceptions.json has the reason why it does not. A vector that is listed and
 * passes fails its test, so the list stays true.
 */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { JsonValue } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { parseJson } from "../../../server/src/core/json/json.ts";
import { compileSchema, type SchemaValidator } from "../../../server/src/core/json/json-schema.ts";
import { FORMATS } from "../../../server/src/core/json/schema-formats.ts";
import { createArgumentsCheck } from "../../../sdk-ts/src/arguments-check.ts";
import { REPOSITORY } from "../server.ts";

const VECTORS = path.join(REPOSITORY, "third_party/json-schema-test-suite/draft2020-12");

/** Why vectors do not pass. */
const REASONS: { [reason: string]: string } = {
  "one-resource":
    "A schema is one resource of the 2020-12 dialect: no $id below the root, no other $schema, and a $ref begins with #.",
  "schema-places": "A $ref leads to a schema: not into an unknown keyword, and not into a list of examples.",
  "json-values": "U+0000, the name __proto__ and integers that a double cannot hold are refused in all JSON.",
  "format-asserts": "A format that is known is checked, and is not only an annotation.",
  re2: "Patterns are RE2's: \\s is ASCII, and escapes such as \\cA are unknown.",
};

type Group = { description: string; schema: unknown; tests: { description: string; data: unknown; valid: boolean }[] };
/** By file and group: the reason for all vectors of the group, or for those that are named. */
type Exceptions = { [file: string]: { [group: string]: string | { [vector: string]: string } } };

const exceptions = JSON.parse(
  readFileSync(path.join(import.meta.dirname, "json-schema-exceptions.json"), "utf8"),
) as Exceptions;

/** Formats that are annotations have no outcome to compare. `ecmascript-regex` is about `regex`. */
const files = readdirSync(VECTORS, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".json"))
  .filter((file) => !file.startsWith("optional/format/") || FORMATS.has(path.basename(file, ".json")))
  .toSorted();

function groupsOf(file: string): Group[] {
  return JSON.parse(readFileSync(path.join(VECTORS, file), "utf8")) as Group[];
}

/** Whether each vector of a group has the outcome that it says. A refusal is none. */
function outcomesOf({ schema, tests }: Group): boolean[] {
  let validator: SchemaValidator | undefined;
  try {
    validator = compileSchema(parseJson(JSON.stringify(schema)));
  } catch {
    return tests.map(() => false);
  }
  return tests.map(({ data, valid }) => {
    try {
      return (validator.validate(parseJson(JSON.stringify(data))).length === 0) === valid;
    } catch {
      return false;
    }
  });
}

describe("JSON Schema 2020-12: every official vector passes, or is listed with its reason", () => {
  test.each(files)("%s", (file) => {
    const listed: string[] = [];
    const failed: string[] = [];
    for (const group of groupsOf(file)) {
      const exception = exceptions[file]?.[group.description];
      const outcomes = outcomesOf(group);
      for (const [index, vector] of group.tests.entries()) {
        const name = `${group.description}: ${vector.description}`;
        const reason = typeof exception === "object" ? exception[vector.description] : exception;
        if (reason !== undefined) listed.push(name);
        if (!outcomes[index]!) failed.push(name);
      }
    }
    expect(failed).toEqual(listed);
  });

  // Where the SDK's validator was wrong. Each schema takes it milliseconds to compile.
  test.each(["dynamicRef", "properties", "required", "unevaluatedItems", "unevaluatedProperties"])(
    "and the SDK checks arguments right, or refuses the schema: %s",
    async (name) => {
      const wrong: string[] = [];
      for (const { description, schema, tests } of groupsOf(`${name}.json`)) {
        if (typeof schema === "boolean") continue;
        let check: ReturnType<typeof createArgumentsCheck>;
        try {
          check = createArgumentsCheck("t", schema as { [keyword: string]: unknown });
        } catch {
          continue;
        }
        for (const { description: vector, data, valid } of tests) {
          const accepts = "args" in (await check.parse(data as JsonValue));
          if (accepts !== valid) wrong.push(`${description}: ${vector}`);
        }
      }
      expect(wrong).toEqual([]);
    },
  );

  test("the list names vectors that exist, and reasons that are known", () => {
    const unknown = Object.entries(exceptions).flatMap(([file, groups]) =>
      Object.entries(groups).flatMap(([description, exception]) => {
        const group = files.includes(file) && groupsOf(file).find((one) => one.description === description);
        if (!group) return [`${file}: ${description}`];
        const reasons = typeof exception === "string" ? [exception] : Object.values(exception);
        const names = typeof exception === "string" ? [] : Object.keys(exception);
        return [
          ...reasons.filter((reason) => REASONS[reason] === undefined),
          ...names.filter((name) => !group.tests.some((vector) => vector.description === name)),
        ];
      }),
    );
    expect(unknown).toEqual([]);
  });

  test("every format that is checked has vectors", () => {
    const tested = files
      .filter((file) => file.startsWith("optional/format/"))
      .map((file) => path.basename(file, ".json"));
    expect([...FORMATS.keys()].toSorted()).toEqual(tested.toSorted());
  });
});
