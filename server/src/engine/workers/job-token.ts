/**
 * A job's token authorises its result, at any server. It names one lease of one job, bound to the tenant, under a MAC
 * of the installation. Whether that lease still counts is decided by the job's row, or by the run.
 */
import { randomUUID } from "node:crypto";
import { DomainError } from "../../core/errors.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import { readToken, writeToken } from "../token.ts";

export type JobToken = RunKey & { idempotencyKey: string; attempt: number; leaseNo: number; isAtMostOnce: boolean };

type Fields = [runId: string, key: string, attempt: number, leaseNo: number, atMostOnce: 0 | 1];

/**
 * Begins the token of a handler that was offered without a job row. Only the server that offered it can take its
 * result, so the rest of the token is random: it names nothing, and cannot be guessed.
 */
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

/** Returns undefined unless this installation made the token for this tenant. */
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
