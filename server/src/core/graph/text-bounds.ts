/** The contract's bounds of one text, as in BOUNDS. Lengths are in Unicode code points, as in protovalidate. */
export type TextBounds = {
  minLength?: number;
  maxLength?: number;
  maxBytes?: number;
  pattern?: string;
  /** What `pattern` requires, as words that follow the name of the text: "must be …". */
  message?: string;
};

/** The problem of an evaluated text, as words that follow its name. Undefined if it is within its bounds. */
export function textProblem(text: string, bounds: TextBounds): string | undefined {
  const { minLength = 0, maxLength = Infinity, maxBytes = Infinity, pattern, message } = bounds;
  // A code point is one or two UTF-16 units, so most texts need no count.
  const isTooLong = text.length > maxLength && codePointsOf(text) > maxLength;
  const isTooShort = text.length < 2 * minLength && codePointsOf(text) < minLength;
  if (isTooLong || isTooShort || Buffer.byteLength(text) > maxBytes) return message ?? lengthMessage(bounds);
  if (pattern === undefined || new RegExp(pattern, "u").test(text)) return undefined;
  return message ?? `must match ${pattern}`;
}

function codePointsOf(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

function lengthMessage({ minLength, maxLength, maxBytes }: TextBounds): string {
  const max = maxLength === undefined ? `${maxBytes} bytes` : `${maxLength} characters`;
  return `must be ${minLength === undefined ? "at most" : `${minLength} to`} ${max}`;
}
