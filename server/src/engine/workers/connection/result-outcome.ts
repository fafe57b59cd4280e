/** Results of workers, as core takes them. */
import { createHash } from "node:crypto";
import { DomainError } from "../../../core/errors.ts";
import { keptCode, keptMessage } from "../../../core/failure-text.ts";
import { type Json, JSON_BYTES_MAX, parseJson } from "../../../core/json/json.ts";
import type { CallEnd } from "../../../core/settle-calls.ts";
import type { JobResult } from "../../api.ts";

/** A failed call's message is part of its effect's result, with those of up to 999 other calls: it is cut earlier than
 *  the message of the failure that ends a run. */
const MESSAGE_BYTES_MAX = 16 * 1024;

/** An output that is not a valid payload fails the attempt, so that the run is not stranded with it.
 *  @param isPlan whether the job is a handler, whose output is a step plan */
export function readOutcome({ outcome }: JobResult, isPlan: boolean): CallEnd["outcome"] {
  if ("failure" in outcome) {
    const { code, message, ...rest } = outcome.failure;
    return {
      failure: {
        ...rest,
        code: code === "" ? "TOOL_FAILED" : keptCode(code),
        message: keptMessage(message, MESSAGE_BYTES_MAX),
      },
    };
  }
  try {
    return { output: outcome.output === "" ? null : parseJson(outcome.output, { bytesMax: JSON_BYTES_MAX }) };
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    const plan = isPlan ? failPlanOf(outcome.output) : undefined;
    if (plan !== undefined) return { output: plan };
    const message = `The result is not a valid payload: ${error.message}`;
    return { failure: { code: "RESULT_INVALID", message, nonRetryable: true } };
  }
}

/** A plan that only fails the run, although its texts are none of a payload: they have U+0000, a lone surrogate, or too
 *  many characters. Undefined for every other output. */
function failPlanOf(text: string): Json | undefined {
  let plan: unknown;
  try {
    plan = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { fail, ...more } = (plan ?? {}) as { fail?: { code?: unknown; message?: unknown } | null };
  const { code, message = "", ...moreOfFail } = fail ?? {};
  const isAll = Object.keys(more).length === 0 && Object.keys(moreOfFail).length === 0;
  if (!isAll || typeof code !== "string" || typeof message !== "string") return undefined;
  return { fail: { code: keptCode(code), message: keptMessage(message) } };
}

/** The same for the same result, by which a repeated one is recognised. */
export function digestOf({ outcome }: JobResult): string {
  return createHash("sha256").update(JSON.stringify(outcome)).digest("hex");
}
