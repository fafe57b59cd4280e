/**
 * What is wrong with this server now, for `/healthz`, gRPC health and the log. Whoever notices a problem reports it,
 * each time again, and clears it when it has ended. Each change is one line in the log, within limits; a steady problem
 * is repeated once a minute with a count.
 *
 * What callers see says nothing about how the database is reached: that belongs into `fields`, which are only logged.
 */
import type { Logger } from "pino";

/** Every kind of problem: whether the server can serve meanwhile, and the line in the log when it has ended. */
const PROBLEMS = {
  database_unreachable: { canServe: false, ended: "the database can be reached again" },
  /** The lease or commits get no answer in time. */
  database_silent: { canServe: false, ended: "the database answers in time again" },
  /** Something else does not. */
  database_slow: { canServe: true, ended: "the database answers everything in time again" },
  database_refuses_writes: { canServe: false, ended: "the database accepts writes again" },
  database_full: { canServe: false, ended: "the database has room again" },
  database_refuses_connections: { canServe: false, ended: "the database accepts connections again" },
  database_refuses_login: { canServe: false, ended: "the database accepts the login again" },
  database_denies_permission: { canServe: false, ended: "the database's role has its permissions again" },
  database_lacks_schema: { canServe: false, ended: "the database has its tables and functions again" },
  /** Anything else that keeps the lease or commits from working, such as errors of the disk. */
  database_fails: { canServe: false, ended: "the database works again" },
  /** The same for something else, such as damaged data. */
  database_fails_partly: { canServe: true, ended: "what failed in the database works again" },
  /** Fewer connections than configured: slower, nothing else. */
  database_connections_short: { canServe: true, ended: "the database gives this server all its connections again" },
  /** Notices from other servers do not arrive; polls find the same news later. */
  notices_lost: { canServe: true, ended: "notices of other servers arrive again" },
  lease_lost: { canServe: false, ended: "this server has a lease again" },
  /** This machine's clock or the database's has jumped. */
  clock_stepped: { canServe: true, ended: "the clocks agree again" },
} as const satisfies Record<string, { canServe: boolean; ended: string }>;

export type ProblemKind = keyof typeof PROBLEMS;

export type Problem = {
  kind: ProblemKind;
  /** One sentence for people, without hosts, users and payloads. */
  message: string;
  /** When it began, on this machine's clock, RFC 3339. */
  since: string;
};

export type Health = {
  /**
   * Reports a problem that has begun or goes on.
   * @param message one sentence for people; callers see it, so it has no host, user or payload
   * @param fields for the log only: SQLSTATE, host, the error's own text
   */
  report(kind: ProblemKind, message: string, fields?: Readonly<Record<string, unknown>>): void;
  /** Says that a problem has ended. Does nothing if there was none. */
  clear(kind: ProblemKind): void;
  has(kind: ProblemKind): boolean;
  /** The problems of this moment, the oldest first. */
  problems(): Problem[];
  /** Whether none of them keeps the server from its work. */
  canServe(): boolean;
  /** Calls back after every change of `canServe`. Returns a function that stops the calls. */
  onChange(callback: () => void): () => void;
};

/** How often a steady problem is repeated in the log. */
const REPEAT_MS = 60_000;
/** How often a problem that comes and goes is announced in that time. */
const BEGINNINGS_MAX = 5;

type Open = {
  message: string;
  since: string;
  beganAt: number;
  reports: number;
  /** When the last line about it was written. */
  announcedAt: number | undefined;
};

export function createHealth(log: Logger, monotonicMs: () => number = () => performance.now()): Health {
  const open = new Map<ProblemKind, Open>();
  /** When lines about beginnings were written lately. */
  const beginnings = new Map<ProblemKind, number[]>();
  const callbacks = new Set<() => void>();

  const canServe = () => open.keys().every((kind) => PROBLEMS[kind].canServe);

  function change(apply: () => void): void {
    const could = canServe();
    apply();
    if (canServe() !== could) for (const callback of callbacks) callback();
  }

  function announce(kind: ProblemKind, problem: Open, fields: Readonly<Record<string, unknown>>): void {
    const now = monotonicMs();
    const { reports, message, announcedAt } = problem;
    if (announcedAt === undefined) {
      const recent = (beginnings.get(kind) ?? []).filter((at) => now - at < REPEAT_MS);
      if (recent.length >= BEGINNINGS_MAX) return;
      beginnings.set(kind, [...recent, now]);
      log.warn({ problem: kind, ...fields }, message);
    } else {
      if (now - announcedAt < REPEAT_MS) return;
      log.warn({ problem: kind, ...fields, reports, forMs: Math.round(now - problem.beganAt) }, `still: ${message}`);
    }
    problem.announcedAt = now;
  }

  return {
    report(kind, message, fields = {}) {
      const known = open.get(kind);
      if (known !== undefined) {
        known.reports += 1;
        known.message = message;
        announce(kind, known, fields);
        return;
      }
      const since = new Date().toISOString();
      const begun: Open = { message, since, beganAt: monotonicMs(), reports: 1, announcedAt: undefined };
      change(() => open.set(kind, begun));
      announce(kind, begun, fields);
    },
    clear(kind) {
      const known = open.get(kind);
      if (known === undefined) return;
      change(() => open.delete(kind));
      const { reports, announcedAt, beganAt } = known;
      if (announcedAt === undefined) return;
      log.info({ problem: kind, reports, afterMs: Math.round(monotonicMs() - beganAt) }, PROBLEMS[kind].ended);
    },
    has: (kind) => open.has(kind),
    problems: () => [...open].map(([kind, { message, since }]) => ({ kind, message, since })),
    canServe,
    onChange(callback) {
      callbacks.add(callback);
      return () => callbacks.delete(callback);
    },
  };
}
