/** Checks whether `{ "answer": … }` answers a wait's question. */
import { DomainError, type FieldProblem } from "./errors.ts";
import { deepEqual, isJsonObject, type Json } from "./json/json.ts";
import type { SchemaValidator } from "./json/json-schema.ts";
import { fieldPath } from "./json/pointer.ts";

type AllowedAnswers = { choices?: Json[]; allow_free_text?: boolean };

/**
 * @param validator checks the value of `answer`, in addition to the choices
 * @throws {DomainError} ANSWER_INVALID
 */
export function assertAnswers(
  wait: AllowedAnswers & { wait_id: string },
  payload: Json,
  validator?: SchemaValidator,
): void {
  const problems = answerProblems(wait, payload, validator);
  if (problems.length === 0) return;
  throw new DomainError("ANSWER_INVALID", "The answer does not fit the question.", {
    metadata: { wait_id: wait.wait_id },
    problems,
  });
}

function answerProblems(
  { choices, allow_free_text }: AllowedAnswers,
  payload: Json,
  validator: SchemaValidator | undefined,
): FieldProblem[] {
  if (!isJsonObject(payload)) {
    return [{ path: "payload", message: 'must be an object: { "answer": … }' }];
  }
  const extra = Object.keys(payload).filter((name) => name !== "answer");
  if (extra.length > 0) return [{ path: `payload.${extra[0]}`, message: "is unknown; an answer has only `answer`" }];
  const { answer } = payload;
  if (answer === undefined) return [{ path: "payload.answer", message: "is required" }];
  const isChoice = choices === undefined || choices.some((choice) => deepEqual(choice, answer));
  const isFreeText = allow_free_text === true && typeof answer === "string";
  if (!isChoice && !isFreeText) return [{ path: "payload.answer", message: "is not one of the choices" }];
  return (validator?.validate(answer) ?? []).map(({ path, message }) => ({
    path: fieldPath("payload.answer", path),
    message,
  }));
}
