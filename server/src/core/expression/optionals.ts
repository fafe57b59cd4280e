// Functions of optionals. The macros of optionals are in macros.ts.
import { failed } from "./expression-error.ts";
import type { Overloads } from "./overloads.ts";
import { Bytes, Duration, isMap, NONE, Optional, type Value } from "./values.ts";

/** Functions that create an optional or read it. */
export const OPTIONALS: Overloads = {
  "optional.of(dyn): optional": (_, value: Value) => new Optional(value),
  "optional.none(): optional": () => NONE,
  "optional.ofNonZeroValue(dyn): optional": (_, value: Value) => (isZero(value) ? NONE : new Optional(value)),
  "(optional).hasValue(): bool": (_, optional: Optional) => optional.value !== undefined,
  "(optional).value(): dyn": (_, optional: Optional) => {
    if (optional.value === undefined) throw failed("the optional has no value");
    return optional.value;
  },
};

function isZero(value: Value): boolean {
  if (value === null || value === false || value === 0 || value === "") return true;
  if (Array.isArray(value)) return value.length === 0;
  if (value instanceof Duration) return value.micros === 0;
  if (value instanceof Bytes) return value.data.length === 0;
  return isMap(value) && Object.keys(value).length === 0;
}
