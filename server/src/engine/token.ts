import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto";
import { DomainError, type ErrorReason } from "../core/errors.ts";
import type { Json } from "../core/json/json.ts";

/** The bytes of the MAC that are kept: 128 bits cannot be guessed, and keep cursors short. */
const MAC_BYTES = 16;

/**
 * Writes a value that a caller brings back (a cursor, a page token) so that it cannot be forged or changed: base64url
 * of the MAC and the JSON text.
 * @param purpose the only use for which the token is valid, for instance a list with its tenant and filter
 */
export function writeToken(key: Uint8Array, purpose: string, value: Json): string {
  const text = JSON.stringify(value);
  return Buffer.concat([mac(key, purpose, text), Buffer.from(text)]).toString("base64url");
}

/**
 * Reads a token of the same purpose.
 * @throws {DomainError} `reason` if it was not written by this installation for this purpose
 */
export function readToken(key: Uint8Array, purpose: string, token: string, reason: ErrorReason): Json {
  const bytes = Buffer.from(token, "base64url");
  const text = bytes.subarray(MAC_BYTES).toString();
  const isGenuine =
    bytes.length > MAC_BYTES &&
    bytes.toString("base64url") === token &&
    timingSafeEqual(bytes.subarray(0, MAC_BYTES), mac(key, purpose, text));
  if (!isGenuine) {
    const what = reason === "CURSOR_INVALID" ? "cursor" : "page token";
    throw new DomainError(reason, `The ${what} is damaged or belongs to another request; start again without one.`);
  }
  return JSON.parse(text) as Json;
}

/**
 * Made once for each key: a MAC with raw bytes makes a key object each time, which takes five times as long as the MAC.
 */
const KEY_OBJECTS = new WeakMap<Uint8Array, KeyObject>();

function mac(key: Uint8Array, purpose: string, text: string): Buffer {
  let keyObject = KEY_OBJECTS.get(key);
  if (keyObject === undefined) {
    keyObject = createSecretKey(key);
    KEY_OBJECTS.set(key, keyObject);
  }
  return createHmac("sha256", keyObject).update(`${purpose}\0${text}`).digest().subarray(0, MAC_BYTES);
}
