/** The request to run a handler, and the payload that its worker receives. */
import type { CallFailure } from "./call-failure.ts";
import type { Json } from "./json/json.ts";
import { smallVarsText, varsText } from "./json/large-members.ts";
import type { Names } from "./names.ts";

/** The names of expressions as a handler receives them. */
export type HandlerPayload = Omit<Names, "result">;

/** A request to run the handler of a node. */
export type HandlerRequest = {
  tenantId: string;
  runId: string;
  workflowId: string;
  version: number;
  sessionId?: string;
  nodeId: string;
  /** The seq that the record of the handler's step will have. */
  seq: number;
  idempotencyKey: string;
  payload: HandlerPayload;
  timeoutMs: number;
  heartbeatTimeoutMs?: number;
  fairnessKey: string;
};

/** The outcome of a handler that was offered to a worker without a job row. */
export type HandlerOutcome =
  | { type: "plan"; output: Json; actorId?: string }
  | { type: "failed"; failure: CallFailure; actorId?: string; random: number }
  /** No worker here could run it now. */
  | { type: "unserved" }
  /** The worker that ran it has disconnected. */
  | { type: "lost" };

/** The payload of a handler. */
export function handlerPayload({ vars, run, error, now }: Names): HandlerPayload {
  return { vars, run, error, now };
}

/** The JSON text of a handler's payload. The texts of large members of vars are reused across handlers. */
export function handlerPayloadText(payload: HandlerPayload): string {
  return textWith(varsText(payload.vars), payload);
}

/** The same with null in place of each large member of vars. */
export function smallHandlerPayloadText(payload: HandlerPayload): string {
  return textWith(smallVarsText(payload.vars), payload);
}

function textWith(text: string, { vars: _vars, ...others }: HandlerPayload): string {
  return `{"vars":${text},${JSON.stringify(others).slice(1)}`;
}
