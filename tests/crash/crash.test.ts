/**
 * SIGKILL of servers and database at random moments, under load with answers, timers and events. Every acknowledged
 * start, answer and event is there, and every run ends as its graph must. Every ledger is gapless, chained and folds to
 * its run's state, and a verifier that shares no code with the server confirms it. A reader of the feed misses nothing
 * and gets nothing twice.
 *
 *   CRASH_KILLS=50 CRASH_SEED=7 npx vitest run tests/crash
 *
 * The seed decides the kills and what the clients do, but not how the machine interleaves them.
 */
import { afterEach, expect, test } from "vitest";
import { auditRuns, feedProblems } from "./audit.ts";
import { createChance } from "./chance.ts";
import { createClient } from "./client.ts";
import { type Cluster, createCluster } from "./cluster.ts";
import { readFeed } from "./feed.ts";
import { carryOut, planKills } from "./kills.ts";
import { OPEN_STATUSES, startLoad } from "./load.ts";

const KILLS = Number(process.env["CRASH_KILLS"] ?? 12);
const SEED = Number(process.env["CRASH_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
/** The limit for a run that hangs, on a machine that is busy with other tests. */
const OVERALL_MS = 180_000 + KILLS * 10_000;
/** The number of problems shown: the first ones say what is wrong. */
const SHOWN_MAX = 20;
/** Why a server may end a stream that can continue elsewhere. */
const PASSING = new Set(["DATABASE_UNAVAILABLE", "SHUTTING_DOWN"]);
const EXPLAIN_MS = 5_000;

let cluster: Cluster | undefined;

afterEach(async () => {
  expect(await cluster?.destroy()).toEqual([]);
}, 180_000);

test(
  `${KILLS} kills under load lose nothing and strand nobody (CRASH_SEED=${SEED})`,
  { timeout: OVERALL_MS + 30_000 },
  async () => {
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(new Error(`not done after ${OVERALL_MS / 1_000} s`)), OVERALL_MS);
    const { signal } = over;
    const startedAt = performance.now();
    const seconds = (): number => Math.round((performance.now() - startedAt) / 100) / 10;
    console.log(`crash: ${KILLS} kills, CRASH_SEED=${SEED}`);
    try {
      const chance = createChance(SEED);
      const plan = planKills(chance.fork(), KILLS);
      cluster = await createCluster();
      await cluster.start("first");
      const { urls } = cluster;
      const client = createClient({ urls, signal });
      const feed = readFeed({ urls, signal });
      const load = await startLoad({ client, chance: chance.fork(), signal });
      const readyS = seconds();
      await Promise.race([carryOut({ plan, cluster, client, signal }), load.clients]);
      const killedS = seconds();
      await load.finish();
      const endedS = seconds();

      const { knowledge } = load;
      const audit = await auditRuns(client, knowledge);
      const auditedS = seconds();
      await feed.untilEnded(knowledge.expectations.size);
      const toldS = seconds();
      // A reader that comes late and reads from the beginning gets the same.
      const lateFeed = readFeed({ urls, signal });
      await lateFeed.untilEnded(knowledge.expectations.size);
      const ids = ({ notices }: typeof feed): string[] => notices.map(({ noticeId }) => noticeId).toSorted();

      console.log(
        JSON.stringify({
          seed: SEED,
          kills: plan.length,
          of: countTargets(plan),
          runs: audit.runs,
          records: audit.records,
          acknowledged: knowledge.counts,
          retries: client.retries,
          recoveryMs: quantiles(client.recoveriesMs),
          notices: feed.notices.length,
          streams: feed.streams,
          feedRefusals: countAlike(feed.refusals),
          seconds: { readyS, killedS, endedS, auditedS, toldS, retoldS: seconds() },
          errors: cluster.errors().length,
        }),
      );
      expect(audit.problems.slice(0, SHOWN_MAX)).toEqual([]);
      expect(feedProblems(feed.notices, audit).slice(0, SHOWN_MAX)).toEqual([]);
      expect(ids(lateFeed)).toEqual(ids(feed));
      expect(feed.refusals.filter((reason) => !PASSING.has(reason))).toEqual([]);
      expect(client.surprises).toEqual([]);
      expect(cluster.errors().slice(0, SHOWN_MAX)).toEqual([]);
      expect(audit.runs).toBeGreaterThan(plan.length);
      await cluster.stop("second");
      await cluster.stop("first");
      expect(cluster.killDatabase(), "whether the database outlives its last server").toBe(false);
    } catch (error) {
      if (cluster !== undefined) console.log(await explain(cluster).catch(String));
      throw error;
    } finally {
      clearTimeout(timer);
      over.abort(new Error("the test is over"));
    }
  },
);

/** The state after a failure: the runs that have not ended, and the last lines of the servers' logs. */
async function explain({ urls, log }: Cluster): Promise<string> {
  const words = (["first", "second"] as const).map(
    (name) => `${name}:\n${log(name).split("\n").slice(-15).join("\n")}`,
  );
  const client = createClient({ urls, signal: AbortSignal.timeout(EXPLAIN_MS) });
  const open = await client
    .call("ListRuns", { filter: { statuses: OPEN_STATUSES } })
    .catch((error: unknown) => String(error));
  const runs =
    typeof open === "string" ? [open] : (open.runs ?? []).slice(0, SHOWN_MAX).map((run) => JSON.stringify(run));
  return [...words, "not ended:", ...runs].join("\n");
}

function countTargets(plan: ReturnType<typeof planKills>): Record<string, number> {
  return countAlike(plan.map(({ targets, servers }) => `${targets.join("+")} of ${servers}`));
}

function countAlike(names: readonly string[]): Record<string, number> {
  return Object.fromEntries([...Map.groupBy(names, (name) => name)].map(([name, all]) => [name, all.length]));
}

function quantiles(values: readonly number[]): { p50: number; max: number; count: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.floor((sorted.length - 1) * share)] ?? 0);
  return { p50: at(0.5), max: at(1), count: sorted.length };
}
