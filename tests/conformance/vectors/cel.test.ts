// The official vectors of CEL. Each passes, or stands in cel-listed.json under the reason why it does not.
import { describe, expect, test } from "vitest";

import { parseExpression } from "../../../server/src/core/expression/parser.ts";
import listed from "./cel-listed.json" with { type: "json" };
import { type Outcome, readParsings, readVectors, runVector } from "./cel-vectors.ts";

const REASONS = [
  "out of scope: messages, wrappers and enums of protobuf",
  "out of scope: extensions for math, blocks, encoders, protobuf, and comprehensions with two variables",
  "out of scope: the type that a checker deduces",
  "out of scope: a bound value that is not JSON, or a bound name with a dot",
  "by decision: one number type, without NaN and infinity",
  "by decision: keys of maps are strings",
  "by decision: microseconds",
  "by decision: no U+0000 in strings",
  "by decision: checked before it runs",
  "by decision: %s writes lists and maps as JSON",
  "by decision: selecting an optional from null finds nothing",
] as const;

type Listing = { reason: string; is: "fail" | "vacuous" };

/** The listed vectors by id. A vector under `vacuous` wants an error and gets one that has nothing to do with what it
 *  is about. */
function readListings(): ReadonlyMap<string, Listing> {
  const listings = new Map<string, Listing>();
  for (const [reason, outcomes] of Object.entries(listed)) {
    for (const [is, sections] of Object.entries(outcomes) as [Listing["is"], Record<string, string[]>][]) {
      for (const [section, names] of Object.entries(sections)) {
        for (const name of names) listings.set(`${section}/${name}`, { reason, is });
      }
    }
  }
  return listings;
}

/** What is wrong about the outcome of a vector, in view of the list; undefined if nothing is. */
function problemOf(outcome: Outcome, listing: Listing | undefined): string | undefined {
  const isPassed = outcome.is === "pass" || outcome.is === "refused";
  if (listing === undefined) return isPassed ? undefined : `${outcome.is}, and not listed: ${outcome.detail}`;
  if (listing.is === "fail") return outcome.is === "fail" ? undefined : `listed as failing: ${outcome.is}`;
  // Some vacuous outcomes are seen by a person only.
  return outcome.is === "vacuous" || (isPassed && outcome.detail !== "")
    ? undefined
    : `listed as vacuous: ${outcome.is}`;
}

const vectors = readVectors();
const listings = readListings();
const outcomes = new Map([...vectors].map(([id, vector]) => [id, runVector(vector)] as const));

describe("the official vectors of CEL", () => {
  test("each passes, or is listed and does not", () => {
    const problems = [...outcomes].flatMap(([id, outcome]) => {
      const problem = problemOf(outcome, listings.get(id));
      return problem === undefined ? [] : [`${id} (${vectors.get(id)!.original.expr}): ${problem}`];
    });
    expect(problems).toEqual([]);
  });

  test("the list names nothing but vectors, and no reason but these", () => {
    expect([...listings.keys()].filter((id) => !vectors.has(id))).toEqual([]);
    expect(Object.keys(listed)).toEqual(REASONS);
  });

  // The figures that docs/adr/0001-cel-library.md quotes.
  test("counts", () => {
    const passed = [...outcomes].filter(([id]) => !listings.has(id)).map(([, outcome]) => outcome.is);
    const count = (reason: string, is: Listing["is"]): number =>
      [...listings.values()].filter((listing) => listing.reason === reason && listing.is === is).length;
    expect({
      all: vectors.size,
      passed: passed.filter((is) => is === "pass").length,
      "passed: an error is wanted, and the compiler refuses it": passed.filter((is) => is === "refused").length,
      ...Object.fromEntries(
        REASONS.map((reason) => [reason, `${count(reason, "fail")} fail, ${count(reason, "vacuous")} vacuous`]),
      ),
    }).toMatchInlineSnapshot(`
      {
        "all": 2344,
        "by decision: %s writes lists and maps as JSON": "3 fail, 0 vacuous",
        "by decision: checked before it runs": "23 fail, 0 vacuous",
        "by decision: keys of maps are strings": "42 fail, 14 vacuous",
        "by decision: microseconds": "3 fail, 0 vacuous",
        "by decision: no U+0000 in strings": "20 fail, 0 vacuous",
        "by decision: one number type, without NaN and infinity": "82 fail, 0 vacuous",
        "by decision: selecting an optional from null finds nothing": "1 fail, 0 vacuous",
        "out of scope: a bound value that is not JSON, or a bound name with a dot": "13 fail, 0 vacuous",
        "out of scope: extensions for math, blocks, encoders, protobuf, and comprehensions with two variables": "279 fail, 25 vacuous",
        "out of scope: messages, wrappers and enums of protobuf": "599 fail, 50 vacuous",
        "out of scope: the type that a checker deduces": "25 fail, 0 vacuous",
        "passed": 1098,
        "passed: an error is wanted, and the compiler refuses it": 67,
      }
    `);
  });
});

describe("the official examples of parsing", () => {
  /** The message of the parser's error; empty if it reads the source. */
  const errorOf = (source: string): string => {
    try {
      parseExpression(source);
      return "";
    } catch (error) {
      return (error as Error).message;
    }
  };

  test("what has a syntax tree is read, except messages", () => {
    const readable = readParsings().filter((example) => example.ast !== undefined);
    const refused = readable.filter(({ original }) => errorOf(original.expr) !== "");
    expect(readable).toHaveLength(108);
    expect(refused.filter(({ original }) => !/[A-Za-z] ?\{/.test(original.expr))).toEqual([]);
    expect(refused).toHaveLength(5);
  });

  test("what has a syntax error is refused", () => {
    const wrong = readParsings().filter((example) => example.error?.includes("Syntax error") === true);
    expect(wrong.length).toBeGreaterThan(30);
    expect(wrong.filter(({ original }) => errorOf(original.expr) === "")).toEqual([]);
  });
});
