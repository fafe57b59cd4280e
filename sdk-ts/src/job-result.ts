/** The result of a job as the server takes it: JSON text, or a failure that says what is wrong. */
import {
  type JobFailure,
  JobFailureSchema,
  type JobResult,
  JobResultSchema,
} from "@abstractruntime/proto/worker_service_pb";
import { create } from "@bufbuild/protobuf";

import { messageOf } from "./errors.ts";
import { foreignKindOf } from "./json.ts";

/** Longest output as JSON text, UTF-8 bytes, by the contract. */
const OUTPUT_BYTES_MAX = 1024 * 1024;
/** Longest `details` of a failure, by the contract; longer details are left out. */
const DETAILS_BYTES_MAX = 64 * 1024;
/** The server cuts messages at 64 KiB; a UTF-16 unit has up to three bytes. */
const MESSAGE_CHARS_MAX = 20_000;
/** By the contract. */
const CODE_CHARS_MAX = 128;

/** A failure that this package finds by itself. Only a TIMEOUT may pass with another attempt. */
export type OwnFailureCode = "RESULT_INVALID" | "RESULT_TOO_LARGE" | "PAYLOAD_INVALID" | "HANDLER_UNKNOWN" | "TIMEOUT";

/** The result of a job whose code returned `value`. `undefined` counts as null, and as absent in an object, as in
 *  JSON.stringify. A value that is not JSON (a BigInt, a function, NaN, a Map, a cycle) fails with RESULT_INVALID, a
 *  value of more than 1 MiB as JSON text with RESULT_TOO_LARGE. */
export function resultOfOutput(token: string, value: unknown): JobResult {
  let text: string;
  try {
    text = jsonTextOf(value ?? null, OUTPUT_BYTES_MAX);
  } catch (error) {
    const [code, message]: [OwnFailureCode, string] =
      error instanceof TooLargeError
        ? ["RESULT_TOO_LARGE", `the result has more than ${OUTPUT_BYTES_MAX} bytes as JSON text`]
        : ["RESULT_INVALID", `the result is not JSON: ${error instanceof Error ? error.message : "its toJSON failed"}`];
    return resultOfFailure(token, ownFailure(code, message));
  }
  return create(JobResultSchema, { token, outcome: { case: "output", value: Buffer.from(text) } });
}

/** The result of a job whose code threw `error`. A ToolError has its own code; anything else is TOOL_FAILED. */
export function resultOfError(token: string, error: unknown): JobResult {
  try {
    return resultOfFailure(token, failureOf(error));
  } catch {
    // Anything can be thrown, even a value that throws when it is read.
    const message = "the code threw a value that cannot be shown";
    return resultOfFailure(token, create(JobFailureSchema, { code: "TOOL_FAILED", message }));
  }
}

export function resultOfFailure(token: string, failure: JobFailure): JobResult {
  return create(JobResultSchema, { token, outcome: { case: "failure", value: failure } });
}

export function ownFailure(code: OwnFailureCode, message: string): JobFailure {
  return create(JobFailureSchema, { code, message: shownMessage(message), nonRetryable: code !== "TIMEOUT" });
}

function failureOf(error: unknown): JobFailure {
  if (!isToolError(error)) {
    return create(JobFailureSchema, { code: "TOOL_FAILED", message: shownMessage(messageOf(error)) });
  }
  return create(JobFailureSchema, {
    code: error.code.slice(0, CODE_CHARS_MAX).toWellFormed(),
    message: shownMessage(messageOf(error)),
    nonRetryable: error.nonRetryable === true,
    details: detailsOf(error.details),
  });
}

/** Recognised by its shape, because a module with tools may use another copy of this package. */
function isToolError(error: unknown): error is { code: string; nonRetryable?: unknown; details?: unknown } {
  return error instanceof Error && error.name === "ToolError" && "code" in error && typeof error.code === "string";
}

function detailsOf(details: unknown): Uint8Array<ArrayBuffer> {
  if (details === undefined) return new Uint8Array();
  try {
    return Buffer.from(jsonTextOf(details, DETAILS_BYTES_MAX));
  } catch {
    return new Uint8Array();
  }
}

/** Text that Postgres and protobuf can hold. */
function shownMessage(message: string): string {
  return message.slice(0, MESSAGE_CHARS_MAX).toWellFormed().replaceAll("\0", "\uFFFD");
}

// ── JSON text ────────────────────────────────────────────────────────────────────────────────────────────────────────

class TooLargeError extends Error {}
class NotJsonError extends Error {}

/** @throws {TooLargeError} if the text has more than `bytesMax` UTF-8 bytes
 *  @throws {Error} if the value is not JSON, or not I-JSON */
function jsonTextOf(value: unknown, bytesMax: number): string {
  // A lower bound of the size, so that a value that is far too large is given up before it is written out.
  let bytesMin = 0;
  const text = JSON.stringify(value, (key, inner: unknown) => {
    bytesMin += key.length + (typeof inner === "string" ? inner.length : 1);
    if (bytesMin > bytesMax) throw new TooLargeError();
    assertText(key);
    if (typeof inner === "string") assertText(inner);
    else assertJsonValue(inner);
    return inner;
  }) as string | undefined;
  // A toJSON that returns undefined.
  if (text === undefined) return "null";
  // A UTF-16 unit is one to three UTF-8 bytes, so most texts need no counting.
  if (text.length > bytesMax || (text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax)) {
    throw new TooLargeError();
  }
  return text;
}

/** For values that are not strings. */
function assertJsonValue(value: unknown): void {
  if (typeof value === "number" && !Number.isFinite(value)) throw new NotJsonError(`${value} is not a JSON number`);
  if (typeof value === "bigint" || typeof value === "function" || typeof value === "symbol") {
    throw new NotJsonError(`a ${typeof value} is not a JSON value`);
  }
  const foreign = typeof value === "object" && value !== null ? foreignKindOf(value) : undefined;
  if (foreign !== undefined)
    throw new NotJsonError(`a ${foreign} is not a JSON value${foreign === "Promise" ? "; await it" : ""}`);
}

/** I-JSON (RFC 7493) has no lone surrogates, and the database cannot hold U+0000. */
function assertText(text: string): void {
  if (!text.isWellFormed()) throw new NotJsonError("a string is not well-formed Unicode");
  if (text.includes("\0")) throw new NotJsonError("a string has the character U+0000");
}
