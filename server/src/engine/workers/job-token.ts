/**
 * Tokens of jobs: what authorises a result, at any server. A token says which lease of which job it is, under a MAC of the
 * installation, bound to the tenant; whether that lease still counts is decided by the job's row, or by the run itself.
 */
import { randomUUID } from "node:crypto";
import { DomainError } from "../../core/errors.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import { readToken, writeToken } from "../token.ts";

export type JobToken = RunKey & { idempotencyKey: string; attempt: number; leaseNo: number; isAtMostOnce: boolean };

type Fields = [runId: string, key: string, attempt: number, leaseNo: number, atMostOnce: 0 | 1];

/** Of a handler that was offered without a job row. Only the server that asked for it can take its result, and has it at hand: so
 *  nothing stands in the token, and nobody can guess it. */
const HANDLER_PREFIX = "h.";

export function newHandlerToken(): string {
  return HANDLER_PREFIX + randomUUID();
}

export function isHandlerToken(text: string): boolean {
  return text.startsWith(HANDLER_PREFIX);
}

export function writeJobToken(key: Uint8Array, token: JobToken): string {
  const { tenantId, runId, idempotencyKey, attempt, leaseNo, isAtMostOnce } = token;
  const fields: Fields = [runId, idempotencyKey, attempt, leaseNo, isAtMostOnce ? 1 : 0];
  return writeToken(key, purposeOf(tenantId), fields);
}

/** Undefined: not a token that this installation gave to this tenant. */
export function readJobToken(key: Uint8Array, tenantId: string, text: string): JobToken | undefined {
  let fields: Fields;
  try {
    fields = readToken(key, purposeOf(tenantId), text, "JOB_UNKNOWN") as Fields;
  } catch (error) {
    if (error instanceof DomainError) return undefined;
    throw error;
  }
  const [runId, idempotencyKey, attempt, leaseNo, atMostOnce] = fields;
  return { tenantId, runId, idempotencyKey, attempt, leaseNo, isAtMostOnce: atMostOnce === 1 };
}

function purposeOf(tenantId: string): string {
  return `job/${tenantId}`;
}
