/** The demo, from the first start to the last check. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { NoticeKind } from "@abstractruntime/proto/notice_pb";
import type { Run } from "@abstractruntime/proto/run_pb";
import { WaitReason } from "@abstractruntime/proto/wait_pb";
import type { JsonObject } from "@bufbuild/protobuf";

import type { Check } from "../support/checks.ts";
import { connect, type Connection } from "../support/connection.ts";
import { registerGraph } from "../support/register-graph.ts";
import type { Screen } from "../support/screen.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { openTerminal } from "../support/terminal.ts";
import type { Timeline } from "../support/timeline.ts";
import { createAnswerer, createAutomaticPerson, questionOf } from "./answers.ts";
import { createChance } from "./chance.ts";
import { crashInTheMiddle, type Crash } from "./crashes.ts";
import type { Expense } from "./expense-file.ts";
import { createFeed, type Feed } from "./feed.ts";
import { answerAtTerminal } from "./inbox.ts";
import { type CheckedRun, checkRuns, type Started } from "./ledgers.ts";
import { createManager, type Manager } from "./manager.ts";
import { problemsOf } from "./report.ts";

const WORKFLOW_ID = "expense";
const GRAPH = join(import.meta.dirname, "expense.yaml");

/** The runs are started over some seconds, so that there is time to kill the server in between. */
const BATCHES = 20;
const BATCH_PAUSE_MS = 150;
/** At most 500 starts fit into one request. */
const BATCH_MAX = 500;

/** Replace the hours and days of expense.yaml. Reminders must not come before anyone can answer: at the terminal that
 *  takes a while, and with thousands of runs the whole machine is busy. */
const REMINDER_S_MIN = { automatic: 2, atTerminal: 30 };
const RUNS_PER_REMINDER_S = 300;
const COOLING_OFF = "1500ms";
const PAYDAY_MS_MIN = 500;
const PAYDAY_MS_MAX = 4_000;

/** Several times what a very slow machine needs. */
const DEADLINE_MS = 120_000;
const DEADLINE_PER_RUN_MS = 100;

export type Scenario = {
  runs: CheckedRun[];
  crashes: Crash[];
  checks: Check[];
};

export type ScenarioOptions = {
  expenses: readonly Expense[];
  server: ServerProcess;
  /** Whether questions are answered by a rule of thumb; otherwise the user answers at the terminal. */
  automatic: boolean;
  seed: string;
  timeline: Timeline;
  screen: Screen;
  /** Where questions are shown. */
  terminal: NodeJS.WriteStream;
  signal: AbortSignal;
};

export async function playScenario(options: ScenarioOptions): Promise<Scenario> {
  const { expenses, server, timeline, screen, signal } = options;
  screen.status(() => "starting a server with an embedded Postgres ...");
  const { serverPid, databasePid, readyMs } = await server.start(signal);
  timeline.mark(
    `a server with an embedded Postgres answers after ${(readyMs / 1000).toFixed(1)} s (pids ${serverPid}, ${databasePid})`,
  );
  timeline.mark(`registered ${await registerGraph(server.url, GRAPH, signal)}`);

  const connection = connect(server.url, signal);
  try {
    // Unique even in a data directory of an earlier demo, and known before the first request.
    const sessionId = `demo-${randomBytes(4).toString("hex")}`;
    const started = expenses.map((expense, index) => ({ runId: runIdOf(sessionId, index + 1, expense), expense }));
    const played = await playRuns(started, sessionId, connection, options);
    timeline.mark(`the last of ${started.length} runs has ended`, "good");
    const runs = await checkRuns(started, {
      connection,
      answers: played.answers,
      decisions: played.manager.decisions,
      onProgress: (checked) => screen.status(() => `${checked} of ${started.length} ledgers verified`),
    });
    const records = runs.reduce((sum, run) => sum + run.records.length, 0);
    timeline.mark(`read back and verified ${runs.length} ledgers with ${records} records`);
    return { runs, crashes: played.crashes, checks: listChecks(runs, { ...played, resent: connection.resent() }) };
  } finally {
    connection.close();
  }
}

type Played = {
  crashes: Crash[];
  feed: Feed;
  manager: Manager;
  answers: ReturnType<typeof createAnswerer>["acknowledged"];
};

/** Starts the runs, answers them, kills the server twice, and returns when all have ended. */
async function playRuns(
  started: readonly Started[],
  sessionId: string,
  { runtime }: Connection,
  options: ScenarioOptions,
): Promise<Played> {
  const { server, timeline, screen, signal } = options;
  const chance = createChance(options.seed);
  // The run ids differ each time; random choices depend on the row, so that a seed is reproducible.
  const rowOf = new Map(started.map(({ runId }, index) => [runId, index + 1]));
  const chanceByRow: typeof chance = (...what) => chance(...what.map((one) => rowOf.get(String(one)) ?? one));
  const nameOf = (runId: string) => started[(rowOf.get(runId) ?? 0) - 1]?.expense.id ?? runId;

  const ending = new AbortController();
  const untilEnd = AbortSignal.any([signal, ending.signal]);
  const answerer = createAnswerer(runtime);
  const person = createAutomaticPerson({
    answerer,
    chance: chanceByRow,
    overlooks: options.automatic,
    signal: untilEnd,
  });
  const manager = createManager({ runtime, chance: chanceByRow, signal: untilEnd });
  let automatic = options.automatic;
  const waits = new Map<string, WaitReason>();

  const describe = () => {
    const count = (reason: WaitReason) => [...waits.values()].filter((one) => one === reason).length;
    return (
      `${feed.ended.size} of ${started.length} have ended; ${count(WaitReason.USER)} wait for a person, ` +
      `${count(WaitReason.EVENT)} for the manager, ${count(WaitReason.UNTIL)} for a time; ` +
      `${started.length - feed.started.size} have not started`
    );
  };

  function onNotice(kind: NoticeKind, run: Run): void {
    const { runId, waiting } = run;
    if (waiting === undefined) waits.delete(runId);
    else waits.set(runId, waiting.reason);
    screen.status(describe);
    if (kind === NoticeKind.STARTED) timeline.markFirst("start", "the first run has started");
    if (waiting === undefined) return;
    manager.show(waiting);
    if (waiting.reason === WaitReason.EVENT) {
      timeline.markFirst("event", `${nameOf(runId)} is the first to wait for the manager's event`);
    }
    if (waiting.reason !== WaitReason.USER) return;
    if (automatic) person.show(waiting);
    timeline.markFirst("question", `${nameOf(runId)} is the first to ask a person`);
    if (questionOf(waiting).reminders > 0) {
      timeline.markFirst("reminder", `nobody answered ${nameOf(runId)} in time: the first reminder`);
    }
  }

  const feed = createFeed({ runtime, sessionId, onNotice });
  const allEnded = () => feed.ended.size === started.length;

  async function sitAtTerminal(): Promise<void> {
    const lines = openTerminal(options.terminal);
    const changed = () => {
      const seen = feed.notices();
      return feed.until(() => feed.notices() > seen);
    };
    try {
      const inbox = { runtime, sessionId, answerer, actorId: "you", lines, screen, changed, isDone: allEnded, signal };
      if ((await answerAtTerminal(inbox)) === "done") return;
    } finally {
      lines.close();
    }
    automatic = true;
    for (let pageToken = ""; ;) {
      const page = await runtime.listWaits({ filter: { sessionId }, pageSize: 1_000, pageToken });
      for (const wait of page.waits) person.show(wait);
      pageToken = page.nextPageToken;
      if (pageToken === "") return;
    }
  }

  // If something never happens, the demo must fail and not hang; people may take as long as they like.
  const deadline = Promise.withResolvers<never>();
  const deadlineMs = DEADLINE_MS + started.length * DEADLINE_PER_RUN_MS;
  const timer = setTimeout(() => deadline.reject(new Error(`after ${deadlineMs / 1000} s: ${describe()}`)), deadlineMs);
  if (!automatic) clearTimeout(timer);

  const following = feed.follow(untilEnd);
  try {
    const [crashes] = await Promise.race([
      Promise.all([
        crashInTheMiddle({ server, feed, runs: started.length, chance, timeline, describe, signal }),
        startRuns(started, sessionId, runtime, chance, options),
        automatic ? undefined : sitAtTerminal(),
        feed.until(allEnded),
      ]),
      deadline.promise,
      following.then((): never => {
        throw new Error("the feed has ended");
      }),
      person.failed,
      manager.failed,
    ]);
    return { crashes, feed, manager, answers: answerer.acknowledged };
  } finally {
    clearTimeout(timer);
    ending.abort(new Error("the demo is over"));
    await following.catch(() => undefined);
  }
}

async function startRuns(
  started: readonly Started[],
  sessionId: string,
  runtime: Connection["runtime"],
  chance: ReturnType<typeof createChance>,
  { automatic, signal }: ScenarioOptions,
): Promise<void> {
  const size = Math.min(BATCH_MAX, Math.max(1, Math.ceil(started.length / BATCHES)));
  const reminderSMin = automatic ? REMINDER_S_MIN.automatic : REMINDER_S_MIN.atTerminal;
  const reminderS = Math.max(reminderSMin, Math.ceil(started.length / RUNS_PER_REMINDER_S));
  for (let from = 0; from < started.length; from += size) {
    const requests = started.slice(from, from + size).map(({ runId, expense }, index) => ({
      runId,
      sessionId,
      workflowId: WORKFLOW_ID,
      actorId: "demo",
      vars: {
        expense,
        reminder_after: `${reminderS}s`,
        cooling_off: COOLING_OFF,
        payday_after: `${Math.round(PAYDAY_MS_MIN + (PAYDAY_MS_MAX - PAYDAY_MS_MIN) * chance("payday", from + index))}ms`,
      } satisfies JsonObject,
    }));
    const { results } = await runtime.startRuns({ requests });
    for (const { result } of results) {
      if (result.case === "error") throw new Error(`a start was refused: ${result.value.message}`);
    }
    await sleep(BATCH_PAUSE_MS, undefined, { signal });
  }
}

/** Includes the row's own id, in characters that a run id may have, for people; the number alone makes it unique. */
function runIdOf(sessionId: string, row: number, { id }: Expense): string {
  return `${sessionId}.${row}.${id.replaceAll(/[^A-Za-z0-9_-]+/g, "-").slice(0, 60)}`;
}

function listChecks(runs: readonly CheckedRun[], played: Played & { resent: number }): Check[] {
  const { feed, crashes, answers, manager, resent } = played;
  const decisions = [...manager.decisions.values()];
  const early = decisions.filter((decision) => decision.early).length;
  const runIds = new Set(runs.map(({ runId }) => runId));
  const untold = [...runIds].filter((runId) => !feed.started.has(runId) || !feed.ended.has(runId));
  const strange = [...feed.started].filter((runId) => !runIds.has(runId));
  return [
    {
      name: `server and database were killed ${crashes.length} times; ${resent} requests had to be sent again`,
      problems: [],
    },
    {
      name: `each of ${runs.length} rows has one run, which ended exactly once`,
      problems: problemsOf(runs, "end"),
    },
    {
      name: `each of ${answers.size} acknowledged answers is in its ledger exactly once`,
      problems: problemsOf(runs, "answer"),
    },
    {
      name: `each of ${decisions.length} events of the manager, all sent twice, was taken once (${early} sent before the wait)`,
      problems: problemsOf(runs, "event"),
    },
    {
      name: `the feed of ${feed.notices()} notices skipped and repeated nothing, and resumed ${feed.resumed()} times`,
      problems: [
        ...feed.problems,
        ...untold.map((runId) => `the feed did not report the start and the end of ${runId}`),
        ...strange.map((runId) => `the feed reported ${runId}, which nobody started`),
      ],
    },
    { name: "every ledger is gapless, chained, and folds to its run's state", problems: problemsOf(runs, "chain") },
  ];
}
