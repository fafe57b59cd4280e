// Decimal texts of doubles, rounded as CEL has it: half to even, on the exact value. JavaScript's toFixed and
// toExponential round half away from zero, and toFixed writes an exponent from 1e21 on.

/** A number without its sign, exactly: `digits` / 10^`scale`. */
type Decimal = { digits: bigint; scale: number };

const BITS = new DataView(new ArrayBuffer(8));

function exactDecimal(value: number): Decimal {
  BITS.setFloat64(0, Math.abs(value));
  const bits = BITS.getBigUint64(0);
  const biased = Number(bits >> 52n);
  const fraction = bits & 0xf_ffff_ffff_ffffn;
  // A subnormal number has no hidden bit.
  const mantissa = biased === 0 ? fraction : fraction | (1n << 52n);
  const exponent = Math.max(biased, 1) - 1075;
  if (exponent >= 0) return { digits: mantissa << BigInt(exponent), scale: 0 };
  // One factor of two at a time would leave a fraction: m / 2^n is m * 5^n / 10^n.
  return { digits: mantissa * 5n ** BigInt(-exponent), scale: -exponent };
}

/** Removes the last `count` digits, and rounds half to even. */
function withoutDigits(digits: bigint, count: number): bigint {
  if (count <= 0) return digits * 10n ** BigInt(-count);
  const divisor = 10n ** BigInt(count);
  const quotient = digits / divisor;
  const twice = (digits % divisor) * 2n;
  const isUp = twice > divisor || (twice === divisor && quotient % 2n === 1n);
  return isUp ? quotient + 1n : quotient;
}

/** A number with `precision` digits after the point and no exponent: `-12.50`. */
export function decimalText(value: number, precision: number): string {
  const { digits, scale } = exactDecimal(value);
  const text = String(withoutDigits(digits, scale - precision)).padStart(precision + 1, "0");
  const whole = text.slice(0, text.length - precision);
  return signOf(value) + whole + (precision === 0 ? "" : "." + text.slice(-precision));
}

/** A number with one digit before the point, `precision` after it, and an exponent of at least two digits:
 *  `1.25e+03`. */
export function scientificText(value: number, precision: number): string {
  const { digits, scale } = exactDecimal(value);
  const length = String(digits).length;
  let text = String(withoutDigits(digits, length - 1 - precision));
  let exponent = value === 0 ? 0 : length - 1 - scale;
  if (text.length > precision + 1 && value !== 0) {
    // 9.99 was rounded to 10.0.
    exponent += 1;
    text = text.slice(0, -1);
  }
  text = text.padEnd(precision + 1, "0");
  const fraction = precision === 0 ? "" : "." + text.slice(1);
  const power = String(Math.abs(exponent)).padStart(2, "0");
  return `${signOf(value)}${text[0]!}${fraction}e${exponent < 0 ? "-" : "+"}${power}`;
}

function signOf(value: number): string {
  return value < 0 ? "-" : "";
}
