// The one error of this folder, and short ways to create it.

export type ExpressionErrorCode = "EXPRESSION_INVALID" | "EVALUATION_FAILED" | "EXPRESSION_LIMIT";

/** An expression or template that cannot be compiled (EXPRESSION_INVALID), has no value for the names it was given
 *  (EVALUATION_FAILED), or costs too much (EXPRESSION_LIMIT). */
export class ExpressionError extends Error {
  readonly code: ExpressionErrorCode;
  /** Offset in the source, in UTF-16 units from 0, if it is known. */
  readonly position: number | undefined;
  /** The JSON Pointer of the template inside a value of templates; empty elsewhere. */
  readonly path: string;

  constructor(code: ExpressionErrorCode, message: string, position?: number, path = "") {
    super(message);
    this.name = "ExpressionError";
    this.code = code;
    this.position = position;
    this.path = path;
  }
}

export function invalid(message: string, position: number | undefined): ExpressionError {
  return new ExpressionError("EXPRESSION_INVALID", message, position);
}

export function failed(message: string, position?: number): ExpressionError {
  return new ExpressionError("EVALUATION_FAILED", message, position);
}

export function limit(message: string): ExpressionError {
  return new ExpressionError("EXPRESSION_LIMIT", message);
}

/** Longest text that a message quotes, in UTF-16 units. */
const SHOWN_CHARS_MAX = 64;

/** Quotes a name or a text for a message. */
export function shown(text: string): string {
  return JSON.stringify(text.length > SHOWN_CHARS_MAX ? text.slice(0, SHOWN_CHARS_MAX).toWellFormed() + "…" : text);
}
