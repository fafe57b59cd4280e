/** The rows of the benchmark, in the order in which they are measured and shown. */
import type { Scenario } from "./scenario.ts";
import { costHistory } from "./scenarios/cost-history.ts";
import { costLedger } from "./scenarios/cost-ledger.ts";
import { costVars } from "./scenarios/cost-vars.ts";
import { declarative200 } from "./scenarios/declarative-200.ts";
import { handler200, handler200Ahead, handler50 } from "./scenarios/handlers.ts";
import { resumeLatency } from "./scenarios/resume-latency.ts";
import { serverStart } from "./scenarios/server-start.ts";
import { serverTakeover } from "./scenarios/server-takeover.ts";
import { singleRun } from "./scenarios/single-run.ts";
import { soak } from "./scenarios/soak.ts";
import { tools200 } from "./scenarios/tools-200.ts";
import { waitingRuns } from "./scenarios/waiting-runs.ts";
import { workerClosed, workerGoodbye, workerSilent } from "./scenarios/worker-loss.ts";

/** Section 9 of the design: the rows that are measured if none is named. */
export const SCENARIOS: readonly Scenario[] = [
  handler50,
  handler200,
  handler200Ahead,
  declarative200,
  tools200,
  singleRun,
  resumeLatency,
  waitingRuns,
  serverTakeover,
  workerSilent,
  workerClosed,
  workerGoodbye,
  serverStart,
];

/** Rows that check that costs do not grow: they take long, and are measured only if they are named. */
export const LASTING_SCENARIOS: readonly Scenario[] = [costLedger, costHistory, costVars, soak];
