/** What a handler is run for, and what its worker is given. */
import type { CallFailure } from "./call-failure.ts";
import type { Json } from "./json/json.ts";
import { smallVarsText, varsText } from "./json/large-members.ts";
import type { Names } from "./names.ts";

/** The names that expressions see, as a handler is given them. */
export type HandlerPayload = Omit<Names, "result">;

/** What a handler is run for. */
export type HandlerRequest = {
  tenantId: string;
  runId: string;
  workflowId: string;
  version: number;
  sessionId?: string;
  nodeId: string;
  /** The seq that the record of the handler's step gets. */
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
  /** The worker that ran it is gone. */
  | { type: "lost" };

/** The names that a handler is given. */
export function handlerPayload({ vars, run, error, now }: Names): HandlerPayload {
  return { vars, run, error, now };
}

/** The JSON text of what a handler is given. The large members of its vars are not written anew for every handler. */
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
