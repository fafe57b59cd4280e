import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { decimalText, scientificText } from "./decimal.ts";

describe("decimalText", () => {
  test.each<[number, number, string]>([
    [0.5, 0, "0"],
    [1.5, 0, "2"],
    [2.5, 0, "2"],
    [-2.5, 0, "-2"],
    [3.5, 0, "4"],
    [0.125, 2, "0.12"],
    [0.375, 2, "0.38"],
    [-0.125, 2, "-0.12"],
    // 1.005 is a little less than what it reads, and 1.115 a little more.
    [1.005, 2, "1.00"],
    [1.115, 2, "1.11"],
    [1e21, 2, "1000000000000000000000.00"],
    [-1.5e300, 1, `-${BigInt(1.5e300)}.0`],
    [Number.MAX_VALUE, 0, String(BigInt(Number.MAX_VALUE))],
    [Number.MIN_VALUE, 3, "0.000"],
    [2 ** -20, 20, "0.00000095367431640625"],
    [0, 2, "0.00"],
    [0, 0, "0"],
    [999.996, 2, "1000.00"],
    [12, 0, "12"],
    [0.1, 30, "0.100000000000000005551115123126"],
  ])("%f with %d digits is %s", (value, precision, text) => expect(decimalText(value, precision)).toBe(text));
});

describe("scientificText", () => {
  test.each<[number, number, string]>([
    [0, 6, "0.000000e+00"],
    [0, 0, "0e+00"],
    [1200, 6, "1.200000e+03"],
    [2.5, 0, "2e+00"],
    [3.5, 0, "4e+00"],
    [-2.5, 0, "-2e+00"],
    [1.25, 1, "1.2e+00"],
    [9.999, 2, "1.00e+01"],
    [99.5, 1, "1.0e+02"],
    [0.00012345, 2, "1.23e-04"],
    [1e100, 1, "1.0e+100"],
    [Number.MIN_VALUE, 2, "4.94e-324"],
    [Number.MAX_VALUE, 6, "1.797693e+308"],
    [1, 20, "1.00000000000000000000e+00"],
  ])("%f with %d digits is %s", (value, precision, text) => expect(scientificText(value, precision)).toBe(text));
});

test("they are what JavaScript writes, except that halves become even", () => {
  const anyNumber = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.double({ noNaN: true, min: -1e6, max: 1e6 }),
    fc.integer().map((n) => n / 1024),
  );
  /** Whether the digits after the last one that is kept are exactly one half. */
  const isHalf = (exact: string): boolean => /^50*$/.test(exact);
  fc.assert(
    fc.property(anyNumber, fc.nat(20), (value, precision) => {
      const exactDigits = decimalText(value, 99).split(".")[1]!;
      if (Math.abs(value) < 1e21 && Math.abs(value) > 1e-20 && !isHalf(exactDigits.slice(precision))) {
        expect(decimalText(value, precision)).toBe(value.toFixed(precision));
      }
      const mantissa = scientificText(value, 99).split("e")[0]!.split(".")[1]!;
      if (!isHalf(mantissa.slice(precision))) {
        const theirs = value.toExponential(precision).replace(/e([+-])([0-9])$/, "e$10$2");
        expect(scientificText(value, precision)).toBe(value === 0 ? theirs.replace("-0", "0") : theirs);
      }
    }),
    { numRuns: 2_000 },
  );
});
