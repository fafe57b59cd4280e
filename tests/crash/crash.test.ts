/**
 * SIGKILL of servers and database at random moments under load with answers, timers and events: every acknowledged start,
 * answer and event is there, every run ends as its graph must, every ledger is gapless, chained, folds to its run's state,
 * and a verifier that shares no code with the server says so. A reader of the feed misses nothing and hears nothing twice.
 *
 *   CRASH_KILLS=50 CRASH_SEED=7 npx vitest run tests/crash
 *
 * The seed draws the kills and what the clients do; how the machine interleaves them is its own.
 */
import { afterEach, expect, test } from "vitest";
import { auditRuns, feedProblems } from "./audit.ts";
import { createChance } from "./chance.ts";
import { createClient } from "./client.ts";
import { type Cluster, createCluster } from "./cluster.ts";
import { readFeed } from "./feed.ts";
import { carryOut, planKills } from "./kills.ts";
import { startLoad } from "./load.ts";

const KILLS = Number(process.env["CRASH_KILLS"] ?? 12);
const SEED = Number(process.env["CRASH_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
/** What a hang comes to, on a machine that is busy with other tests. */
const OVERALL_MS = 180_000 + KILLS * 10_000;
/** Problems shown: the first ones say what is wrong. */
const SHOWN_MAX = 20;

let cluster: Cluster | undefined;

afterEach(async () => {
  expect(await cluster?.destroy()).toEqual([]);
}, 30_000);

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
      await feed.untilEnded(knowledge.expectations.size);
      // Who comes late and reads from the beginning is told the same.
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
          feedRefusals: feed.refusals,
          seconds: { readyS, killedS, endedS, auditedS: seconds() },
          errors: cluster.errors().length,
        }),
      );
      expect(audit.problems.slice(0, SHOWN_MAX)).toEqual([]);
      expect(feedProblems(feed.notices, audit).slice(0, SHOWN_MAX)).toEqual([]);
      expect(ids(lateFeed)).toEqual(ids(feed));
      expect(client.surprises).toEqual([]);
      expect(audit.runs).toBeGreaterThan(plan.length);
      await cluster.stop("second");
      await cluster.stop("first");
    } finally {
      clearTimeout(timer);
      over.abort(new Error("the test is over"));
    }
  },
);

function countTargets(plan: ReturnType<typeof planKills>): Record<string, number> {
  const names = plan.map(({ targets, servers }) => `${targets.join("+")} of ${servers}`);
  return Object.fromEntries(
    Map.groupBy(names, (name) => name)
      .entries()
      .map(([name, all]) => [name, all.length]),
  );
}

function quantiles(values: readonly number[]): { p50: number; max: number; count: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.floor((sorted.length - 1) * share)] ?? 0);
  return { p50: at(0.5), max: at(1), count: sorted.length };
}
