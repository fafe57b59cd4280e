/** The result of a job as the server takes it: JSON text, or a failure that says what is wrong. */
import {
  type JobFailure,
  JobFailureSchema,
  type JobResult,
  JobResultSchema,
} from "@abstractruntime/proto/worker_service_pb";
import { create } from "@bufbuild/protobuf";

import { keptCode, keptMessage } from "./failure-text.ts";
import { jsonOf, JsonTooLargeError } from "./json.ts";
import { TOOL_ERROR } from "./tool.ts";

/** Longest output as JSON text, UTF-8 bytes, by the contract. */
const OUTPUT_BYTES_MAX = 1024 * 1024;
/** Longest `details` of a failure, by the contract; longer details are left out. */
const DETAILS_BYTES_MAX = 64 * 1024;
/** The code of a failure that names no code of its own. */
const TOOL_FAILED = "TOOL_FAILED";
/** What is shown of a thrown value that cannot be read. */
const UNSHOWABLE = "the code threw a value that cannot be shown";

/** A failure that this package finds by itself. Only a TIMEOUT may pass with another attempt. */
export type OwnFailureCode = "RESULT_INVALID" | "RESULT_TOO_LARGE" | "PAYLOAD_INVALID" | "HANDLER_UNKNOWN" | "TIMEOUT";

/** The result of a job whose code returned `value`. `undefined` counts as null, and a returned error as thrown. A value
 *  that is not JSON (see `jsonOf`) fails with RESULT_INVALID, a value of more than 1 MiB as JSON text with
 *  RESULT_TOO_LARGE. */
export function resultOfOutput(token: string, value: unknown): JobResult {
  if (value instanceof Error) return resultOfError(token, value);
  let text: string;
  try {
    text = jsonTextOf(value ?? null, OUTPUT_BYTES_MAX);
  } catch (error) {
    const [code, message]: [OwnFailureCode, string] =
      error instanceof JsonTooLargeError
        ? ["RESULT_TOO_LARGE", `the result has more than ${OUTPUT_BYTES_MAX} bytes as JSON text`]
        : ["RESULT_INVALID", `the result cannot be sent: ${shownText(error) ?? UNSHOWABLE}`];
    return resultOfFailure(token, ownFailure(code, message));
  }
  return create(JobResultSchema, { token, outcome: { case: "output", value: Buffer.from(text) } });
}

/** The result of a job whose code threw `error`. A ToolError has its own code; anything else is TOOL_FAILED. */
export function resultOfError(token: string, error: unknown): JobResult {
  return resultOfFailure(token, failureOf(error));
}

export function resultOfFailure(token: string, failure: JobFailure): JobResult {
  return create(JobResultSchema, { token, outcome: { case: "failure", value: failure } });
}

export function ownFailure(code: OwnFailureCode, message: string): JobFailure {
  return create(JobFailureSchema, { code, message: keptMessage(message), nonRetryable: code !== "TIMEOUT" });
}

/** Anything can be thrown, even a value that throws when it is read. Each part that can be read is kept. */
function failureOf(error: unknown): JobFailure {
  const message = keptMessage(shownText(error) ?? UNSHOWABLE);
  const code = codeOf(error);
  if (code === undefined) return create(JobFailureSchema, { code: TOOL_FAILED, message });
  return create(JobFailureSchema, {
    code: keptCode(code),
    message,
    nonRetryable: read(() => (error as { nonRetryable?: unknown }).nonRetryable) === true,
    details: detailsOf(read(() => (error as { details?: unknown }).details)),
  });
}

/** The code of a ToolError, also of another copy of this package, which a module with tools may use. Undefined for
 *  anything else. */
function codeOf(error: unknown): string | undefined {
  return read(() => {
    if (typeof error !== "object" || error === null) return undefined;
    const { code, name } = error as { code?: unknown; name?: unknown };
    if (!(TOOL_ERROR in error) && !(error instanceof Error && name === "ToolError")) return undefined;
    const isCode = typeof code === "string" || typeof code === "number";
    return isCode && code !== "" ? String(code) : undefined;
  });
}

/** The words of anything that was thrown: its message, its name if it has no message, or its JSON. Undefined if it
 *  cannot be read. */
function shownText(thrown: unknown): string | undefined {
  if (typeof thrown !== "object" || thrown === null) return read(() => String(thrown));
  const message = read(() => {
    const { message: text, name } = thrown as { message?: unknown; name?: unknown };
    if (typeof text === "string" && text !== "") return text;
    // Some libraries throw errors whose message is a number or an object.
    if (text !== undefined && text !== "") return JSON.stringify(jsonOf(text, DETAILS_BYTES_MAX));
    return thrown instanceof Error ? String(name) : undefined;
  });
  return message ?? read(() => JSON.stringify(jsonOf(thrown, DETAILS_BYTES_MAX)));
}

function read<T>(get: () => T): T | undefined {
  try {
    return get();
  } catch {
    return undefined;
  }
}

function detailsOf(details: unknown): Uint8Array<ArrayBuffer> {
  if (details === undefined) return new Uint8Array();
  try {
    return Buffer.from(jsonTextOf(details, DETAILS_BYTES_MAX));
  } catch {
    return new Uint8Array();
  }
}

/** @throws {JsonTooLargeError} if the text has more than `bytesMax` UTF-8 bytes
 *  @throws {TypeError} if the value is not JSON */
function jsonTextOf(value: unknown, bytesMax: number): string {
  const text = JSON.stringify(jsonOf(value, bytesMax));
  // A UTF-16 unit is one to three UTF-8 bytes, so most texts need no counting.
  if (text.length > bytesMax || (text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax)) {
    throw new JsonTooLargeError(`more than ${bytesMax} bytes`);
  }
  return text;
}
