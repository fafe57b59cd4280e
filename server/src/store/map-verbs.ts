/**
 * The one place through which all verbs of a store pass. An implementation writes a verb as a plain function of what it
 * works on (`Statements`) and binds a noun's functions at once (`bindVerbs`); `mapVerbs` wraps every verb of every
 * noun, so that errors are mapped, and calls reported, without a line for each verb.
 */
import { DomainError } from "../core/errors.ts";
import { BatchContendedError, BatchRejectedError, LaneFencedError, StoreUnavailableError } from "./contract/errors.ts";
import type { Nouns, Verb, VerbCall, Verbs } from "./contract/store.ts";

/**
 * A noun's verbs as functions of what they work on (connections, tables). A verb may return at once what its caller is
 * promised.
 */
export type Statements<On, Noun> = {
  readonly [V in keyof Noun]: Noun[V] extends (...args: infer Args) => Promise<infer Result>
    ? (on: On, ...args: Args) => Result | Promise<Result>
    : never;
};

/** A noun's verbs as an implementation has them: `mapVerbs` makes promises of what they return at once. */
type Bound<Noun> = {
  readonly [V in keyof Noun]: Noun[V] extends (...args: infer Args) => Promise<infer Result>
    ? (...args: Args) => Result | Promise<Result>
    : never;
};
export type BoundVerbs = { readonly [N in keyof Nouns]: Bound<Nouns[N]> } & Bound<Pick<Verbs, "now" | "ping">>;

type AnyVerb = (...args: readonly unknown[]) => unknown;

/** A noun's verbs on `on`. */
export function bindVerbs<On, Noun extends object>(on: On, statements: Statements<On, Noun>): Bound<Noun> {
  const bound = Object.entries(statements).map(([name, statement]) => [
    name,
    (...args: readonly unknown[]) => (statement as AnyVerb)(on, ...args),
  ]);
  return Object.fromEntries(bound) as Bound<Noun>;
}

/**
 * Runs one call of a verb: what it returns or throws is what the caller of the verb gets. `perform` may be called more
 * than once.
 */
export type Around = (verb: Verb, perform: () => unknown, args: readonly unknown[]) => unknown;

const NAMES = Object.keys({
  now: true,
  ping: true,
  lanes: true,
  batches: true,
  runs: true,
  standings: true,
  ledger: true,
  waits: true,
  events: true,
  jobs: true,
  workers: true,
  mail: true,
  workflows: true,
  feed: true,
  notices: true,
} satisfies Record<keyof Verbs, true>) as readonly (keyof Verbs)[];

/**
 * Wraps verbs: every call goes through `around`. The result has verbs only, whatever else `verbs` has (a store's
 * `close`).
 */
export function mapVerbs(verbs: BoundVerbs, around: Around): Verbs {
  const map =
    (verb: string, perform: AnyVerb): AnyVerb =>
    // An async function, so that whatever throws is a rejection.
    async (...args) =>
      await around(verb as Verb, () => perform(...args), args);
  const mapped = NAMES.map((name): [string, unknown] => {
    const value: object | AnyVerb = verbs[name];
    if (typeof value === "function") return [name, map(name, value as AnyVerb)];
    const noun = Object.entries(value).map(([verb, perform]) => [verb, map(`${name}.${verb}`, perform as AnyVerb)]);
    return [name, Object.fromEntries(noun) as unknown];
  });
  return Object.fromEntries(mapped) as Verbs;
}

/**
 * Is told of every call of a verb when the call has ended, before the verb's caller is. It must be quick and never
 * throw.
 */
export type VerbObserver = (call: VerbCall) => void;

/** Reports every call to `onVerb`, with the time that `around` took. */
export function observed(around: Around, onVerb: VerbObserver | undefined): Around {
  if (onVerb === undefined) return around;
  return async (verb, perform, args) => {
    const beganAt = performance.now();
    const report = (outcome: VerbCall["outcome"]): void =>
      onVerb({ verb, durationMs: performance.now() - beganAt, outcome });
    let result: unknown;
    try {
      result = await around(verb, perform, args);
    } catch (error) {
      report(isRefusal(error) ? "refused" : "failed");
      throw error;
    }
    report("ok");
    return result;
  };
}

function isRefusal(error: unknown): boolean {
  if (error instanceof LaneFencedError) return true;
  if (error instanceof StoreUnavailableError) return false;
  return error instanceof BatchRejectedError || error instanceof BatchContendedError || error instanceof DomainError;
}
