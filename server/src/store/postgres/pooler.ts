/**
 * What is between this program and Postgres: nothing, a pooler that gives each client a session of its own, or one that
 * gives it another session for each transaction. The last carries neither LISTEN nor prepared statements.
 */
import { setTimeout as pause } from "node:timers/promises";
import { openClient, type Sql } from "./client.ts";

export type SessionKind = "direct" | "session" | "transaction";

/** How often the two connections are compared. A pooler that has nothing else to do gives both the same session. */
const COMPARISONS = 20;

/** A pooler that has a session for the first connection but none for the second keeps the second waiting. */
const SECOND_MS_MAX = 5_000;

/**
 * Finds out by asking on two connections for the process that serves them. Nothing is left behind in a session.
 *
 * Postgres tells each connection its process at the start; if the answer is another one, something is in between. A
 * session that belongs to one client never serves another one, and never changes.
 * @throws as the client
 */
export async function findSessionKind(url: string, signal?: AbortSignal): Promise<SessionKind> {
  const [one, other] = [openClient(url, { max: 1, prepare: false }), openClient(url, { max: 1, prepare: false })];
  const end = (): Promise<unknown> => Promise.all([one, other].map((sql) => sql.end({ timeout: 0 })));
  const abort = (): void => void end();
  signal?.addEventListener("abort", abort);
  try {
    const first = await processOf(one);
    if (first.serves === first.announced) return "direct";
    const ofOne = new Set<number>();
    const ofOther = new Set<number>();
    for (let turn = 0; turn < COMPARISONS; turn++) {
      ofOne.add((await processOf(one)).serves);
      const answer = await Promise.race([processOf(other), pause(SECOND_MS_MAX, undefined, { ref: false })]);
      // The first one keeps its session to itself.
      if (answer === undefined) return "session";
      ofOther.add(answer.serves);
      const isShared = [...ofOther].some((process) => ofOne.has(process));
      if (isShared || ofOne.size > 1 || ofOther.size > 1) return "transaction";
    }
    return "session";
  } finally {
    signal?.removeEventListener("abort", abort);
    await end();
  }
}

async function processOf(sql: Sql): Promise<{ serves: number; announced: number }> {
  const rows = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  return { serves: rows[0]?.pid ?? 0, announced: (rows.state as unknown as { pid: number }).pid };
}
