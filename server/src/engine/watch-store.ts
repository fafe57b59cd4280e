/**
 * Watches every call of the store: what fails says what is wrong with the database, and what succeeds says that it is
 * over. A trouble of the connections ends with any success over the same ones. A trouble of statements (a full disk, a
 * missing permission) ends when the same verb or a probe succeeds, and the verb has not failed for a while.
 */
import { BatchOutcomeUnknownError, StoreUnavailableError, type TroubleKind } from "../store/contract/errors.ts";
import type { Store, Verb } from "../store/contract/store.ts";
import { mapVerbs } from "../store/map-verbs.ts";
import type { Health, ProblemKind } from "./health.ts";

type Meaning = {
  problem: ProblemKind;
  says: string;
  /** Whether the connections are at fault rather than what was asked. */
  ofConnections?: boolean;
  /** The problem if the lease and commits are not concerned. Default: `problem`. */
  elsewhere?: ProblemKind;
};

/** Kinds that are left out are no trouble of the database: others hold locks, or the lease has ended. */
const MEANINGS: Partial<Record<TroubleKind, Meaning>> = {
  unreachable: { problem: "database_unreachable", says: "the database cannot be reached", ofConnections: true },
  timed_out: {
    problem: "database_silent",
    says: "the database does not answer in time",
    ofConnections: true,
    elsewhere: "database_slow",
  },
  no_connections: {
    problem: "database_refuses_connections",
    says: "the database accepts no more connections",
    ofConnections: true,
  },
  login_refused: {
    problem: "database_refuses_login",
    says: "the database refuses this server's login",
    ofConnections: true,
  },
  refuses_writes: {
    problem: "database_refuses_writes",
    says: "the database accepts no writes: it is read-only or a standby",
  },
  disk_full: { problem: "database_full", says: "the database has no room on its disk" },
  permission_denied: {
    problem: "database_denies_permission",
    says: "the database denies this server's role a permission",
  },
  schema_missing: {
    problem: "database_lacks_schema",
    says: "the database lacks tables or functions that this server needs",
  },
  busy: { problem: "database_slow", says: "all connections to the database are in use", ofConnections: true },
  failing: { problem: "database_fails", says: "the database fails", elsewhere: "database_fails_partly" },
};

const SHARED = "shared";
/** Verbs with connections of their own; all others share some. */
const OWN_CONNECTIONS: Partial<Record<Verb, string>> = {
  "lanes.renew": "lease",
  "batches.commit": "commits",
  "batches.resolve": "commits",
  probe: "commits",
  "notices.listen": "notices",
};
/** Verbs whose success proves that the database accepts writes. */
const WRITES: ReadonlySet<Verb> = new Set(["lanes.renew", "lanes.open", "batches.commit"]);

type Failing = { problem: ProblemKind; connections: string | undefined; failedAt: number };

export type WatchedStore = {
  store: Store;
  /**
   * Asks the database, in the background, whether what failed would still fail. Call it regularly; it does nothing
   * without trouble.
   */
  recheck(): void;
  /** Whether a write went through lately. Renewals of the lease are writes. */
  hasWritten(): boolean;
  /** Whether a call has been waiting for its answer for at least this long: the database is silent, the server not
   *  just busy. */
  isSilent(forMs: number): boolean;
};

/**
 * @param times.writtenMs how long a write proves that the server can write
 * @param times.quietMs how long no call may have failed before a probe is believed
 */
export function watchStore(inner: Store, health: Health, times: { writtenMs: number; quietMs: number }): WatchedStore {
  const failing = new Map<Verb, Failing>();
  /** How many calls have lost their connection since one succeeded, by the connections. */
  const losses = new Map<string, number>();
  /** When the calls under way began, the oldest first. */
  const waiting = new Set<{ beganAt: number }>();
  let writtenAt = -Infinity;
  let isProbing = false;

  function noteFailure(verb: Verb, error: unknown): void {
    const kind = kindOf(error);
    const meaning = kind && MEANINGS[kind];
    // Whoever listens reports that it fails: nothing depends on it.
    if (meaning === undefined || verb === "notices.listen") return;
    const connections = OWN_CONNECTIONS[verb] ?? SHARED;
    // A server whose lease was not renewed does not serve, so it has to say why.
    if (kind === "unreachable" && verb !== "lanes.renew" && isPassingLoss(connections, error)) return;
    const problem = connections === SHARED ? (meaning.elsewhere ?? meaning.problem) : meaning.problem;
    const before = failing.get(verb);
    const ofConnections = meaning.ofConnections === true ? connections : undefined;
    failing.set(verb, { problem, connections: ofConnections, failedAt: performance.now() });
    const { code, cause } = error as { code?: string; cause?: unknown };
    health.report(problem, code === undefined ? meaning.says : `${meaning.says} (${code})`, {
      ...(code === undefined ? {} : { code }),
      database: inner.place,
      verb,
      ...(cause instanceof Error ? { cause: cause.message } : {}),
    });
    if (before !== undefined) clearUnused(before.problem);
  }

  /** One lost connection says little: the next call opens another. Two in a row say something. */
  function isPassingLoss(connections: string, error: unknown): boolean {
    const lost = (losses.get(connections) ?? 0) + 1;
    losses.set(connections, lost);
    return lost === 1 && error instanceof StoreUnavailableError && error.code === "CONNECTION_CLOSED";
  }

  function noteSuccess(verb: Verb): void {
    if (WRITES.has(verb)) writtenAt = performance.now();
    if (losses.size === 0 && failing.size === 0) return;
    const connections = OWN_CONNECTIONS[verb] ?? SHARED;
    losses.delete(connections);
    // A call that asks for less than another may succeed although the trouble goes on: a batch that needs no room.
    const quietSince = performance.now() - times.quietMs;
    for (const [failed, { connections: its, failedAt }] of failing) {
      if (its === connections || (failed === verb && failedAt <= quietSince)) forget(failed);
    }
  }

  function forget(verb: Verb): void {
    const known = failing.get(verb);
    if (known === undefined) return;
    failing.delete(verb);
    clearUnused(known.problem);
  }

  function clearUnused(problem: ProblemKind): void {
    if (!failing.values().some((other) => other.problem === problem)) health.clear(problem);
  }

  const verbs = mapVerbs(inner, async (verb, perform) => {
    const call = { beganAt: performance.now() };
    waiting.add(call);
    try {
      const result = await perform();
      noteSuccess(verb);
      return result;
    } catch (error) {
      noteFailure(verb, error);
      throw error;
    } finally {
      waiting.delete(call);
    }
  });

  /** Believes a probe that succeeded, as far as nothing else says the contrary. */
  function forgetQuiet(): void {
    const quietSince = performance.now() - times.quietMs;
    for (const [verb, { failedAt }] of failing) if (failedAt <= quietSince) forget(verb);
  }

  function noteShortage(): void {
    const shortage = inner.shortage();
    if (shortage === undefined) return health.clear("database_connections_short");
    const { granted, wanted } = shortage;
    const message = `the database grants this server ${granted} of ${wanted} connections; it works with those`;
    health.report("database_connections_short", message, { database: inner.place });
  }

  return {
    store: { ...inner, ...verbs },
    hasWritten: () => performance.now() - writtenAt < times.writtenMs,
    isSilent(forMs) {
      const [oldest] = waiting;
      return oldest !== undefined && performance.now() - oldest.beganAt >= forMs;
    },
    recheck() {
      noteShortage();
      if (failing.size === 0 || isProbing) return;
      isProbing = true;
      verbs
        .probe()
        .then(forgetQuiet, () => undefined) // It is noted like the failure of any verb.
        .finally(() => (isProbing = false));
    },
  };
}

/** The kind of trouble behind an error of a verb, if the database is at fault. */
function kindOf(error: unknown): TroubleKind | undefined {
  if (error instanceof StoreUnavailableError) return error.kind;
  // A lost connection is found out by whoever asks what became of the batch.
  return error instanceof BatchOutcomeUnknownError && error.kind === "timed_out" ? error.kind : undefined;
}
