import { describe, expect, test } from "vitest";

import { codeOf, errorOf, evaluateSource } from "../../../../tests/support/evaluate-source.ts";

/** A value of each kind, and what each verb makes of it; null where it is refused. */
const VERBS = ["s", "d", "f", "e", "x", "X", "o", "b"] as const;
const FORMATTED: readonly [value: string, ...texts: (string | null)[]][] = [
  ["null", "null", null, null, null, null, null, null, null],
  ["true", "true", null, null, null, null, null, null, "1"],
  ["false", "false", null, null, null, null, null, null, "0"],
  ["0", "0", "0", "0.000000", "0.000000e+00", "0", "0", "0", "0"],
  ["-10", "-10", "-10", "-10.000000", "-1.000000e+01", "-a", "-A", "-12", "-1010"],
  ["2.5", "2.5", null, "2.500000", "2.500000e+00", null, null, null, null],
  ["vars.huge", "1e+300", String(BigInt(1e300)), `${BigInt(1e300)}.000000`, "1.000000e+300"],
  ["'é1'", "é1", null, null, null, "c3a931", "C3A931", null, null],
  ["b'\\xffA'", "\ufffdA", null, null, null, "ff41", "FF41", null, null],
  ["bytes('é')", "é", null, null, null, "c3a9", "C3A9", null, null],
  ["[1, 'a']", '[1,"a"]', null, null, null, null, null, null, null],
  ["{'a': b'b'}", '{"a":"Yg=="}', null, null, null, null, null, null, null],
  ["duration('90m')", "5400s", null, null, null, null, null, null, null],
  ["timestamp('0033-01-02T03:04:05.6Z')", "0033-01-02T03:04:05.6Z", null, null, null, null, null, null, null],
  ["type(now)", "google.protobuf.Timestamp", null, null, null, null, null, null, null],
  ["optional.of('a')", "a", null, null, null, null, null, null, null],
];

describe("format() of every kind of value with every verb", () => {
  for (const [value, ...texts] of FORMATTED) {
    for (const [i, verb] of VERBS.entries()) {
      const text = texts[i];
      const source = `'%${verb}'.format([${value}])`;
      if (text === undefined) continue;
      test(`${source} ${text === null ? "is refused" : `is ${text.slice(0, 30)}`}`, () => {
        if (text === null) expect(errorOf(() => evaluateSource(source)).message).toMatch(/^format\(\) %. takes a /);
        else expect(evaluateSource(source)).toBe(text);
      });
    }
  }
});

test.each([
  ["'%.0f %.0f %.1f'.format([2.5, -3.5, 0.25])", "2 -4 0.2"],
  ["'%.2f'.format([1e21])", "1000000000000000000000.00"],
  ["'%.0e'.format([2.5])", "2e+00"],
  ["'%.99f'.format([0.5])", `0.5${"0".repeat(98)}`],
  ["'%.3s|%.2d'.format(['abcdef', 7])", "abcdef|7"],
  ["'100%% %s%%'.format([1])", "100% 1%"],
  ["'%s'.format([1, 2])", "1"],
  ["'%x'.format([''])", ""],
])("%s is %s", (source, text) => expect(evaluateSource(source)).toBe(text));

test.each(["'%'.format([])", "'%.f'.format([1])", "'%.100f'.format([1])", "'%.2%'.format([])", "'% d'.format([1])"])(
  "%s is refused",
  (source) => expect(codeOf(source)).toBe("EVALUATION_FAILED"),
);

test("text of bytes that ends up in JSON cannot hold U+0000", () => {
  expect(codeOf("'%s'.format([b'\\000'])")).toBe("EVALUATION_FAILED");
});
