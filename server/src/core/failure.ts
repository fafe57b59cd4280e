import type { Json } from "./json/json.ts";

/** Why a node or a run failed. Data, never an exception: it is part of the ledger. */
export type Failure = {
  /** SCREAMING_SNAKE_CASE; a `FailureCode` or what a `fail` node or a tool said. */
  code: string;
  message: string;
  retryable: boolean;
  node_id?: string;
  attempt?: number;
  details?: Json;
};

/** The codes that core itself gives. `fail` nodes, tools and the engine, of jobs that come to no result, add their own. */
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

/** A failure of a node's own making, thrown inside core only and turned into a record there. */
export class NodeFailure extends Error {
  readonly failure: Failure;
  constructor(code: FailureCode, message: string, details?: Json) {
    super(message);
    this.name = "NodeFailure";
    this.failure = { code, message, retryable: false, ...(details === undefined ? {} : { details }) };
  }
}

/** Runs `work` on an evaluated value; what it throws fails the node. @param what the value is */
export function orEvaluationFailure<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new NodeFailure("EVALUATION_FAILED", `${what}: ${(error as Error).message}`);
  }
}
