/**
 * The JSON text of a value, made once: whoever counts it, stores it or sends it takes the same text. Json is never
 * changed in place (json.ts), so an object has the same text for as long as it is there; the text lives as long as its
 * object.
 */
import type { Json } from "./json.ts";

/** A shorter text is made again in less time than it takes to remember it. */
const REMEMBERED_CHARS_MIN = 2_048;

const textByValue = new WeakMap<object, string>();

/** The text that JSON.stringify makes of a value. */
export function jsonText(value: Json | object): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const known = textByValue.get(value);
  if (known !== undefined) return known;
  const text = JSON.stringify(value);
  if (text.length >= REMEMBERED_CHARS_MIN) textByValue.set(value, text);
  return text;
}
