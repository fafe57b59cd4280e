/**
 * The suite that every implementation of the store's contract passes: `describeStore(name, createHarness)`.
 *
 * It does not depend on any implementation, and has a file for each noun. Times are in the past or the future of the
 * store's own clock, which the suite never moves; nothing sleeps. Groups whose verbs read the whole database (leases,
 * timers, strays) get a database for each test; the others share one and use separate tenants.
 */
import { describe } from "vitest";
import { createOpenBench, type StoreHarness } from "./bench.ts";
import { describeBatches } from "./batches.ts";
import { describeCalls } from "./calls.ts";
import { describeEvents } from "./events.ts";
import { describeFeed } from "./feed.ts";
import { describeGroups } from "./groups.ts";
import { describeJobs } from "./jobs.ts";
import { describeLanes } from "./lanes.ts";
import { describeLedger } from "./ledger.ts";
import { describeMail } from "./mail.ts";
import { describeParts } from "./parts.ts";
import { describeRowBehind } from "./row-behind.ts";
import { describeRuns } from "./runs.ts";
import { describeStandings } from "./standings.ts";
import { describeDatabase } from "./store.ts";
import { describeVars } from "./vars.ts";
import { describeVerbs } from "./verbs.ts";
import { describeWaits } from "./waits.ts";
import { describeWorkers } from "./workers.ts";
import { describeWorkflows } from "./workflows.ts";

export function describeStore(name: string, createHarness: () => Promise<StoreHarness>): void {
  const openBench = createOpenBench(createHarness);
  describe(`store: ${name}`, () => {
    describeDatabase(openBench);
    describeRuns(openBench);
    describeRowBehind(openBench);
    describeParts(openBench);
    describeStandings(openBench);
    describeVars(openBench);
    describeCalls(openBench);
    describeLedger(openBench);
    describeWaits(openBench);
    describeEvents(openBench);
    describeMail(openBench);
    describeGroups(openBench);
    describeBatches(openBench);
    describeJobs(openBench);
    describeWorkers(openBench);
    describeWorkflows(openBench);
    describeLanes(openBench);
    describeFeed(openBench);
    describeVerbs(openBench);
  });
}
