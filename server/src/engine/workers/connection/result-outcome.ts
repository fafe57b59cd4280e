/** Results of workers, as core takes them. */
import { createHash } from "node:crypto";
import { DomainError } from "../../../core/errors.ts";
import { JSON_BYTES_MAX, parseJson } from "../../../core/json/json.ts";
import type { CallEnd } from "../../../core/settle-calls.ts";
import type { JobResult } from "../../api.ts";

/** Failures are stored in the ledger and shown to people: longer texts are cut. */
const CODE_LENGTH_MAX = 128;
const MESSAGE_LENGTH_MAX = 16 * 1024;

/** An output that is not a valid payload fails the attempt, so that the run is not stranded with it. */
export function readOutcome({ outcome }: JobResult): CallEnd["outcome"] {
  if ("failure" in outcome) {
    const { code, message, ...rest } = outcome.failure;
    return {
      failure: {
        ...rest,
        code: code === "" ? "TOOL_FAILED" : cut(code, CODE_LENGTH_MAX),
        message: cut(message, MESSAGE_LENGTH_MAX),
      },
    };
  }
  try {
    return { output: outcome.output === "" ? null : parseJson(outcome.output, { bytesMax: JSON_BYTES_MAX }) };
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    const message = `The result is not a valid payload: ${error.message}`;
    return { failure: { code: "RESULT_INVALID", message, nonRetryable: true } };
  }
}

/** Leaves no half of a character at the end: it could not be stored. */
function cut(text: string, lengthMax: number): string {
  return text.length <= lengthMax ? text : text.slice(0, lengthMax).replace(/[\uD800-\uDBFF]$/, "");
}

/** The same for the same result, by which a repeated one is recognised. */
export function digestOf({ outcome }: JobResult): string {
  return createHash("sha256").update(JSON.stringify(outcome)).digest("hex");
}
