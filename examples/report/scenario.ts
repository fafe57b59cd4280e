/** The demo, from the first start to the last check. */
import { join } from "node:path";

import { Client, type StepRecord } from "@abstractruntime/sdk";

import type { Check } from "../support/checks.ts";
import { connect } from "../support/connection.ts";
import { readVerified } from "../support/ledger-check.ts";
import type { ManagedProcess } from "../support/managed-process.ts";
import { registerGraph } from "../support/register-graph.ts";
import type { Screen } from "../support/screen.ts";
import type { ServerProcess } from "../support/server-process.ts";
import type { Timeline } from "../support/timeline.ts";
import { askAtTerminal } from "./approval.ts";
import { type CallingStep, createCallBook } from "./calls.ts";
import { createCrashes, type Kill } from "./crashes.ts";
import { listChecks, type Observed } from "./outcome-check.ts";
import { describeCalls, describeOutcome } from "./story.ts";

const WORKFLOW_ID = "folder-report";
const GRAPH = join(import.meta.dirname, "report.yaml");
/** The first choice of report.yaml's question. */
const YES = "write it";

/** Several times what the slowest step needs, including the pauses after a kill. */
const STANDSTILL_MS_MAX = 60_000;

export type Scenario = {
  runId: string;
  steps: readonly CallingStep[];
  kills: readonly Kill[];
  records: number;
  /** The problems of the ledger. */
  chainProblems: readonly string[];
  /** The path of the report; undefined if the person discarded it. */
  reportFile: string | undefined;
  checks: Check[];
};

export type ScenarioOptions = {
  /** The name of the folder in the report. */
  folder: string;
  server: ServerProcess;
  worker: ManagedProcess;
  /** The file in which the tools log when they begin. */
  callsLog: string;
  /** Whether the question is answered automatically; otherwise the user answers at the terminal. */
  automatic: boolean;
  timeline: Timeline;
  screen: Screen;
  /** Where the question is shown. */
  terminal: NodeJS.WriteStream;
  signal: AbortSignal;
};

export async function playScenario(options: ScenarioOptions): Promise<Scenario> {
  const { folder, server, worker, callsLog, timeline, screen, signal } = options;
  screen.status(() => "starting a server with an embedded Postgres ...");
  const { serverPid, databasePid, readyMs } = await server.start(signal);
  const ready = `answers after ${(readyMs / 1000).toFixed(1)} s (pids ${serverPid}, ${databasePid})`;
  timeline.mark(`a server with an embedded Postgres ${ready}`);
  await Promise.all([
    worker.start(signal).then(({ pid }) => timeline.mark(`a tool worker is connected (pid ${pid})`)),
    registerGraph(server.url, GRAPH, signal).then((graph) => timeline.mark(`registered ${graph}`)),
  ]);

  await using client = new Client({ addresses: server.url, actorId: "demo" });
  const { runId } = await client.start(WORKFLOW_ID, { folder }, { signal });
  timeline.mark(`the run ${runId} has started`);
  const { records, steps, strays, kills } = await followRun(client, runId, options);

  const connection = connect(server.url, signal);
  try {
    const verified = await readVerified(connection, runId);
    if (verified === undefined) throw new Error(`the run ${runId} does not exist`);
    timeline.mark(`read back and verified its ledger of ${verified.records.length} records`);
    const observed = { records, steps, strays, kills };
    const { checks, reportFile } = await listChecks({ verified, observed, callsLog });
    return {
      runId,
      steps,
      kills,
      records: verified.records.length,
      chainProblems: verified.problems,
      reportFile,
      checks,
    };
  } finally {
    connection.close();
  }
}

/** Follows the run to its end: reports, kills, and answers. */
async function followRun(client: Client, runId: string, options: ScenarioOptions): Promise<Observed> {
  const { server, worker, automatic, timeline, screen, signal } = options;
  const records: StepRecord[] = [];
  const book = createCallBook();
  const crashes = createCrashes({ server, worker, timeline });

  async function answer(record: StepRecord): Promise<void> {
    const { wait } = record;
    if (wait?.reason !== "user") return;
    timeline.mark(`asks a person: ${wait.prompt}`);
    const choice = automatic ? YES : await askAtTerminal(wait, options);
    const actorId = automatic ? "yes-option" : "you";
    await client.respond(runId, choice, { waitId: wait.waitId, actorId, signal });
    timeline.mark(`${automatic ? "--yes answers" : "you answer"}: ${choice}`, "good");
  }

  // If something never happens, the demo must fail and not hang; people may take as long as they like.
  const standstill = new AbortController();
  const timer = setTimeout(() => {
    const last = records.at(-1);
    const where = `after the record ${last?.seq ?? 0} (${last?.kind ?? "none"})`;
    standstill.abort(new Error(`nothing has happened for ${STANDSTILL_MS_MAX / 1000} s ${where}`));
  }, STANDSTILL_MS_MAX);
  const either = AbortSignal.any([signal, standstill.signal]);
  try {
    for await (const record of client.ledger.watch(runId, { signal: either })) {
      timer.refresh();
      records.push(record);
      const step = book.take(record);
      if (step !== undefined) {
        const { nodeId, calls } = step;
        const done = calls.filter(({ ends }) => ends.length > 0).length;
        screen.status(() => `${nodeId}: ${done} of ${calls.length} calls are done ...`);
        if (step.endTime !== undefined) timeline.mark(describeCalls(step));
        await crashes.consider(step, either);
      }
      await answer(record);
      if (record.kind.startsWith("run.") && record.kind !== "run.started") timeline.mark(describeOutcome(record));
    }
    either.throwIfAborted();
  } finally {
    clearTimeout(timer);
  }
  return { records, steps: book.steps, strays: book.strays, kills: crashes.kills };
}
