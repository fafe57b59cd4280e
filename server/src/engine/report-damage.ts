import type { Logger } from "pino";
import { DamageError } from "../core/damage.ts";

/** A damaged piece that somebody keeps asking for is logged this often. */
const REPEAT_MS = 60_000;
/** The damaged pieces that are remembered, so that each is not logged with every request. */
const PIECES_MAX = 1_000;

const reportedAt = new WeakMap<Logger, Map<string, number>>();

/**
 * Logs damage as an error: at once, and again once a minute while somebody meets it. Everything that meets damage calls
 * this, so whoever asks first is not the only one who learns of it.
 * @returns whether the error was damage
 */
export function reportDamage(log: Logger, error: unknown): error is DamageError {
  if (!(error instanceof DamageError)) return false;
  const pieces = reportedAt.get(log) ?? new Map<string, number>();
  reportedAt.set(log, pieces);
  const now = performance.now();
  const last = pieces.get(error.message);
  if (last !== undefined && now - last < REPEAT_MS) return true;
  pieces.delete(error.message);
  pieces.set(error.message, now);
  if (pieces.size > PIECES_MAX) pieces.delete(pieces.keys().next().value!);
  log.error({ err: error, ...error.metadata }, "stored data is damaged");
  return true;
}
