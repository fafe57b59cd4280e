import type { Json } from "./json/json.ts";

/** Why a node or a run failed. Data, never an exception: it is part of the ledger. */
export type Failure = {
  /** SCREAMING_SNAKE_CASE; a `FailureCode`, or the code of a `fail` node or a tool. */
  code: string;
  message: string;
  retryable: boolean;
  node_id?: string;
  attempt?: number;
  details?: Json;
};

/** The codes that core itself uses. `fail` nodes and tools add their own, and so does the engine for jobs without a
 *  result. */
export type FailureCode =
  | "EVALUATION_FAILED"
  | "EXPRESSION_LIMIT"
  | "NO_EDGE"
  | "LIMIT_MAX_STEPS"
  | "LIMIT_EVENT_CURSORS"
  | "RUN_TIMEOUT"
  | "UNDECLARED_NODE"
  | "RESULT_INVALID"
  | "APPROVAL_DENIED"
  | "STORE_REJECTED";

/** A failure caused by the node itself. Thrown inside core only, which turns it into a record. */
export class NodeFailure extends Error {
  readonly failure: Failure;
  constructor(code: FailureCode, message: string, details?: Json) {
    super(message);
    this.name = "NodeFailure";
    this.failure = { code, message, retryable: false, ...(details === undefined ? {} : { details }) };
  }
}

/** Runs `work` on an evaluated value; an error that it throws fails the node. @param what names the value */
export function orEvaluationFailure<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new NodeFailure("EVALUATION_FAILED", `${what}: ${(error as Error).message}`);
  }
}
