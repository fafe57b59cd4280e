/**
 * Damage: stored data that cannot be read, or that does not have the digest that was recorded for it. It is nobody's
 * mistake in a request, so it has a reason of its own; and it concerns one thing, so whoever reads many returns the
 * others unharmed.
 */
import { DomainError } from "./errors.ts";

/** What a piece of stored data belongs to. */
export type DamagedPiece = "run" | "record" | "wait" | "event" | "mail" | "job" | "workflow" | "worker";

/** A refusal to use damaged data. Nothing of the data is in its message. */
export class DamageError extends DomainError {
  /** @param ids what is damaged, by the names of the contract */
  constructor(piece: DamagedPiece, ids: Readonly<Record<string, string | number>>, what: string, cause?: unknown) {
    const named = Object.entries(ids).map(([name, id]) => `${name} ${id}`);
    const metadata = Object.fromEntries(Object.entries(ids).map(([name, id]) => [name, String(id)]));
    super("DATA_DAMAGED", `The stored ${piece} (${named.join(", ")}) is damaged: ${what}.`, {
      metadata: { piece, ...metadata },
    });
    this.name = "DamageError";
    this.cause = cause;
  }
}

/** What reads of many return beside the others: a thing with damage holds only what can be read without it. */
export type Damageable = { readonly damage?: DamageError };

/** Returns a stored thing if it is whole. @throws {DomainError} DATA_DAMAGED */
export function whole<T extends Damageable | undefined>(stored: T): T {
  if (stored?.damage !== undefined) throw stored.damage;
  return stored;
}

/**
 * Decodes stored data.
 * @param damageOf makes the error, given what is wrong
 * @param rest returns what can be read without the data
 */
export function decodeStored<T>(
  decode: () => T,
  damageOf: (what: string, cause: unknown) => DamageError,
  rest: (damage: DamageError) => T,
): T {
  try {
    return decode();
  } catch (error) {
    // Whatever is thrown here is about the data: decoding asks nobody and waits for nothing.
    return rest(damageOf(causeText(error), error));
  }
}

/** What is wrong, in words that hold nothing of the data. */
function causeText(error: unknown): string {
  if (error instanceof DamageError) return "a record that it consists of cannot be read";
  return error instanceof DomainError ? "its JSON text cannot be read" : "it has not the form that was written";
}
