/**
 * The one place that all verbs of a store pass through. An implementation writes a verb as a plain function of its
 * connections or tables (`Statements`) and binds the functions of a noun together (`bindVerbs`). `mapVerbs` wraps every
 * verb of every noun, so that errors are mapped and calls are reported without a line for each verb.
 */
import { DomainError } from "../core/errors.ts";
import { BatchContendedError, BatchRejectedError, LaneFencedError, StoreUnavailableError } from "./contract/errors.ts";
import type { Nouns, Verb, VerbCall, Verbs } from "./contract/store.ts";

/**
 * The verbs of a noun as functions of `On` (connections or tables). A verb may return its result directly instead of a
 * promise.
 */
export type Statements<On, Noun> = {
  readonly [V in keyof Noun]: Noun[V] extends (...args: infer Args) => Promise<infer Result>
    ? (on: On, ...args: Args) => Result | Promise<Result>
    : never;
};

/** The bound verbs of a noun. `mapVerbs` turns direct results into promises. */
export type Bound<Noun> = {
  readonly [V in keyof Noun]: Noun[V] extends (...args: infer Args) => Promise<infer Result>
    ? (...args: Args) => Result | Promise<Result>
    : never;
};
export type BoundVerbs = { readonly [N in keyof Nouns]: Bound<Nouns[N]> } & Bound<Pick<Verbs, "now" | "probe">>;

type AnyVerb = (...args: readonly unknown[]) => unknown;

/** Binds the verbs of a noun to `on`. */
export function bindVerbs<On, Noun extends object>(on: On, statements: Statements<On, Noun>): Bound<Noun> {
  const bound = Object.entries(statements).map(([name, statement]) => [
    name,
    (...args: readonly unknown[]) => (statement as AnyVerb)(on, ...args),
  ]);
  return Object.fromEntries(bound) as Bound<Noun>;
}

/**
 * Runs one call of a verb; the caller of the verb gets what it returns or throws. May call `perform` more than once.
 */
export type Around = (verb: Verb, perform: () => unknown, args: readonly unknown[]) => unknown;

const NAMES = Object.keys({
  now: true,
  probe: true,
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
 * Wraps verbs so that every call goes through `around`. The result has only verbs, without other members of `verbs`
 * (such as the `close` of a store).
 */
export function mapVerbs(verbs: BoundVerbs, around: Around): Verbs {
  const map =
    (verb: string, perform: AnyVerb): AnyVerb =>
    // An async function, so that every error is a rejection.
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

/** Called when a verb's call has ended, before its caller gets the result. It must be quick and never throw. */
export type VerbObserver = (call: VerbCall) => void;

/** Reports every call to `onVerb`, with the time spent in `around`. */
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
