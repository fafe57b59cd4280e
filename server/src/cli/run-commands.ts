/** `abstractruntime run …`: start, get, explain, list, watch, answer, cancel, pause, unpause, tick. */
import { type NoticeKind, NoticeKindSchema } from "@abstractruntime/proto/notice_pb";
import { type Run, RunOrder, RunSchema, RunStatus, RunStatusSchema, RunView } from "@abstractruntime/proto/run_pb";
import { RunExplanationSchema } from "@abstractruntime/proto/run_explanation_pb";
import { WatchRunResponseSchema, WatchRunsResponseSchema } from "@abstractruntime/proto/runtime_service_pb";
import { WaitReason } from "@abstractruntime/proto/wait_pb";
import { toJson } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";

import { answerRun, type AnswerOptions } from "./answer-run.ts";
import { pollUntil, resumeStream } from "./client.ts";
import { type CliContext, collect, runWithClient, type Session, withClientOptions } from "./context.ts";
import { CliError, EXIT, UsageError } from "./failure.ts";
import { explanationLines } from "./format-explanation.ts";
import { recordLine } from "./format-record.ts";
import { hasEnded, noticeLine, runLines, runTable } from "./format-run.ts";
import { readPages } from "./paging.ts";
import { safeLine } from "./terminal.ts";
import {
  enumShortNames,
  readDurationMs,
  readEnums,
  readInstant,
  readInteger,
  readJsonObject,
  readLabels,
  withAssignments,
} from "./values.ts";
import { listLimit, noteMore, readVersion } from "./workflow-commands.ts";

const LIST_LIMIT_DEFAULT = 50;
const STEPS_MAX = 1_000;
const SEQ_MAX = 2 ** 31 - 1;

type StartOptions = {
  vars?: string;
  var?: string[];
  runId?: string;
  session?: string;
  actor?: string;
  label?: string[];
  version?: string;
  paused?: true;
  startAt?: string;
  wait?: true;
  timeout?: string;
};

export function addRunCommands(program: Command, context: CliContext): void {
  const run = program.command("run").description("start, show, watch, answer and control runs");
  addStart(run, context);
  addReaders(run, context);
  addSteering(run, context);
}

function addStart(run: Command, context: CliContext): void {
  withClientOptions(run.command("start"))
    .description("start a run of a workflow")
    .argument("<workflow>", "the workflow's id")
    .option("--vars <json>", "the initial vars: a JSON object, @file, or - for standard input")
    .option(
      "--var <name=value>",
      "one var; a value that looks like JSON is parsed as JSON; dots reach into objects; may be given several times",
      collect,
    )
    .option("--run-id <id>", "the run's id (default: a new UUIDv7)")
    .option("--session <id>", "the session (group of runs) that it belongs to")
    .option("--actor <id>", "the id of the actor who starts it")
    .option("--label <name=value>", "a label; may be given several times", collect)
    .option("--version <n>", "the version of the workflow (default: the current one)")
    .option("--paused", "start it paused; continue it with run tick or run unpause")
    .option("--start-at <time>", "when it takes its first step: a time, or +15m for 15 minutes from now")
    .option("--wait", "wait until it ends, or until it waits for an answer or an event")
    .option("--timeout <duration>", "how long to wait with --wait (default: for ever)")
    .addHelpText(
      "after",
      `
With --wait, the exit code is ${EXIT.notCompleted} if the run fails, is cancelled, or does not end in time.

Examples:
  $ abstractruntime run start hello-world --wait
  $ abstractruntime run start expense --var amount=120 --var text=Taxi --var id='"007"' --label team=sales
  $ abstractruntime run start expense --vars @expense.json --run-id expense-17`,
    )
    .action(async (workflowId: string, options: StartOptions, command: Command) =>
      runWithClient(context, command, (session) => startRun(workflowId, options, session)),
    );
}

async function startRun(workflowId: string, options: StartOptions, session: Session): Promise<number | undefined> {
  const { deps } = session;
  if (options.timeout !== undefined && options.wait !== true) throw new UsageError("--timeout needs --wait");
  if (options.paused === true && options.wait === true)
    throw new UsageError("--paused and --wait cannot be combined: a paused run does not end");
  const timeoutMs =
    options.timeout === undefined ? Number.POSITIVE_INFINITY : readDurationMs("--timeout", options.timeout);
  const given = options.vars === undefined ? {} : await readJsonObject("--vars", options.vars, session.readInput);
  const vars = withAssignments("--var", given, options.var ?? []);
  const { run } = await session.runtime.startRun({
    // With this id the request can be retried without starting a second run.
    runId: options.runId ?? deps.newId(),
    workflowId,
    version: readVersion(options.version),
    vars,
    sessionId: options.session ?? "",
    actorId: options.actor ?? "",
    labels: readLabels("--label", options.label ?? []),
    paused: options.paused === true,
    ...(options.startAt === undefined
      ? {}
      : { startAt: timestampFromDate(readInstant("--start-at", options.startAt, deps.now())) }),
  });
  const started = runOf(run);
  if (options.wait !== true) return showRun(started, session);
  // Shown first, so that a user who stops waiting has the id.
  if (!session.json) await session.terminal.note(`started ${safeLine(started.runId)}`);
  const rested = await awaitRun(started, timeoutMs, session);
  await showRun(rested, session);
  if (rested.waiting?.reason === WaitReason.USER && !session.json) {
    await session.terminal.note(`answer it with: abstractruntime run answer ${safeLine(rested.runId)}`);
  }
  return isAtRest(rested) && rested.status !== RunStatus.FAILED && rested.status !== RunStatus.CANCELLED
    ? EXIT.ok
    : EXIT.notCompleted;
}

/** Whether a run has ended or waits for input from outside. */
function isAtRest(run: Run): boolean {
  const reason = run.waiting?.reason;
  return hasEnded(run) || reason === WaitReason.USER || reason === WaitReason.EVENT || reason === WaitReason.JOB;
}

async function awaitRun(started: Run, timeoutMs: number, session: Session): Promise<Run> {
  const { runtime, deps, deadlineMs } = session;
  return await pollUntil({
    send: async (waitMs) => {
      const request = { runId: started.runId, timeout: durationFromMs(Math.round(waitMs)) };
      return runOf((await runtime.awaitRun(request, { timeoutMs: Math.ceil(waitMs + deadlineMs) })).run);
    },
    isAtRest,
    timeoutMs,
    now: () => deps.now().getTime(),
    pause: deps.pause,
  });
}

/** The run of a reply, which always has one by the contract. */
function runOf(run: Run | undefined): Run {
  if (run === undefined) throw new CliError("the server's reply contains no run");
  return run;
}

async function showRun(run: Run | undefined, session: Session): Promise<undefined> {
  const shown = runOf(run);
  if (session.json) await session.terminal.printJson(toJson(RunSchema, shown));
  else for (const line of runLines(session.terminal, shown)) await session.terminal.print(line);
  return undefined;
}

type FilterOptions = {
  status?: string[];
  workflow?: string;
  version?: string;
  session?: string;
  label?: string[];
  parent?: string;
  paused?: true;
};

function withFilterOptions(command: Command): Command {
  return command
    .option(
      "--status <status>",
      `only runs with this status: ${enumShortNames(RunStatusSchema).join(", ")}; may be given several times`,
      collect,
    )
    .option("--workflow <id>", "only runs of this workflow")
    .option("--version <n>", "only runs of this version of the workflow")
    .option("--session <id>", "only runs of this session")
    .option("--label <name=value>", "only runs with this label; may be given several times", collect)
    .option("--parent <run>", "only runs that this run started")
    .option("--paused", "only paused runs");
}

function runFilter(options: FilterOptions) {
  if (options.version !== undefined && options.workflow === undefined)
    throw new UsageError("--version needs --workflow");
  return {
    statuses: readEnums("--status", RunStatusSchema, options.status ?? []) as RunStatus[],
    workflowId: options.workflow ?? "",
    version: readVersion(options.version),
    sessionId: options.session ?? "",
    parentRunId: options.parent ?? "",
    labels: readLabels("--label", options.label ?? []),
    ...(options.paused === true ? { paused: true } : {}),
  };
}

function addReaders(run: Command, context: CliContext): void {
  withClientOptions(run.command("get"))
    .description("show a run: its status, what it waits for, its vars and output")
    .argument("<run>", "the run's id")
    .action(async (runId: string, _options: object, command: Command) =>
      runWithClient(context, command, async (session) =>
        showRun((await session.runtime.getRun({ runId, view: RunView.FULL })).run, session),
      ),
    );

  withClientOptions(run.command("explain"))
    .description("say what would move a run next, and show its owner and lease, mail, wake time, channel and jobs")
    .argument("<run>", "its id")
    .action(async (runId: string, _options: object, command: Command) =>
      runWithClient(context, command, (session) => explainRun(runId, session)),
    );

  withFilterOptions(withClientOptions(run.command("list")))
    .description("list runs, newest first")
    .option("--oldest", "list the oldest first")
    .option("--limit <n>", `how many to list at most (default: ${LIST_LIMIT_DEFAULT})`)
    .option("--all", "list all")
    .addHelpText(
      "after",
      `
Examples:
  $ abstractruntime run list --status waiting,failed
  $ abstractruntime run list --workflow expense --label team=sales --all --json | jq -r '.runs[].runId'`,
    )
    .action(async (options: ListOptions, command: Command) =>
      runWithClient(context, command, (session) => listRuns(options, session)),
    );

  withFilterOptions(withClientOptions(run.command("watch")))
    .description("watch a run, or all runs")
    .argument("[run]", "the run whose records to show until it ends; if missing, notices of all runs")
    .option("--after <seq>", "start after this record of the run")
    .option(
      "--kind <kind>",
      `without a run: only this kind of notice: ${enumShortNames(NoticeKindSchema).join(", ")}; may be repeated`,
      collect,
    )
    .option(
      "--cursor <cursor>",
      "without a run: continue an earlier watch; `beginning` starts with the oldest notice that is kept",
    )
    .addHelpText(
      "after",
      `
A lost connection is reopened at the same position: nothing is skipped or shown twice. With --json, each line has the
cursor; otherwise Ctrl-C shows it.

Examples:
  $ abstractruntime run watch expense-17
  $ abstractruntime run watch --workflow expense --kind completed,failed --json`,
    )
    .action(async (runId: string | undefined, options: WatchOptions, command: Command) =>
      runWithClient(context, command, (session) => {
        if (runId !== undefined) return watchRun(runId, options, session);
        return watchRuns(options, session);
      }),
    );
}

async function explainRun(runId: string, session: Session): Promise<undefined> {
  const { explanation } = await session.runtime.explainRun({ runId });
  if (explanation === undefined) throw new CliError("the server's reply holds no explanation");
  if (session.json) await session.terminal.printJson(toJson(RunExplanationSchema, explanation));
  else for (const line of explanationLines(session.terminal, explanation)) await session.terminal.print(line);
  return undefined;
}

type ListOptions = FilterOptions & { oldest?: true; limit?: string; all?: true };

async function listRuns(options: ListOptions, session: Session): Promise<undefined> {
  const filter = runFilter(options);
  const order = options.oldest === true ? RunOrder.CREATE_TIME_ASC : RunOrder.CREATE_TIME_DESC;
  const { items, nextPageToken } = await readPages(
    listLimit(options, LIST_LIMIT_DEFAULT),
    async (pageSize, pageToken) => {
      const page = await session.runtime.listRuns({ filter, order, pageSize, pageToken });
      return { items: page.runs, nextPageToken: page.nextPageToken };
    },
  );
  if (session.json) {
    await session.terminal.printJson({ runs: items.map((item) => toJson(RunSchema, item)), nextPageToken });
    return undefined;
  }
  for (const line of runTable(session.terminal, items)) await session.terminal.print(line);
  await noteMore(session, items.length, nextPageToken);
  return undefined;
}

type WatchOptions = FilterOptions & { after?: string; kind?: string[]; cursor?: string };

async function watchRun(runId: string, options: WatchOptions, session: Session): Promise<undefined> {
  const ofAllRuns = [
    "kind",
    "cursor",
    "status",
    "workflow",
    "version",
    "session",
    "label",
    "parent",
    "paused",
  ] as const;
  const misplaced = ofAllRuns.find((name) => options[name] !== undefined);
  if (misplaced !== undefined)
    throw new UsageError(`--${misplaced} cannot be combined with a run: it is for watching all runs`);
  const { terminal, runtime } = session;
  await interruptible(session, async (signal) => {
    const messages = resumeStream({
      open: (afterSeq, opened) => runtime.watchRun({ runId, afterSeq }, { signal: opened }),
      start: options.after === undefined ? 0 : readInteger("--after", options.after, { min: 0, max: SEQ_MAX }),
      positionOf: (message, before) => (message.event.case === "stepRecord" ? message.event.value.seq : before),
      signal,
      pause: session.deps.pause,
      onLost: (error) => terminal.note(`connection lost (${safeLine(error.rawMessage)}), trying again`),
    });
    for await (const message of messages) {
      if (message.event.case !== "stepRecord") continue;
      if (session.json) await terminal.printJsonLine(toJson(WatchRunResponseSchema, message));
      else await terminal.print(recordLine(terminal, message.event.value));
    }
  });
  return undefined;
}

async function watchRuns(options: WatchOptions, session: Session): Promise<undefined> {
  if (options.after !== undefined)
    throw new UsageError("--after needs a run; use --cursor to continue a watch of all runs");
  const { terminal, runtime } = session;
  const filter = runFilter(options);
  const kinds = readEnums("--kind", NoticeKindSchema, options.kind ?? []) as NoticeKind[];
  let cursor = options.cursor ?? "";
  await interruptible(session, async (signal) => {
    const messages = resumeStream({
      open: (position, opened) => runtime.watchRuns({ filter, kinds, cursor: position }, { signal: opened }),
      start: cursor,
      positionOf: (message) => message.cursor,
      signal,
      pause: session.deps.pause,
      onLost: (error) => terminal.note(`connection lost (${safeLine(error.rawMessage)}), trying again`),
    });
    for await (const message of messages) {
      if (message.event.case === "notice") {
        if (session.json) await terminal.printJsonLine(toJson(WatchRunsResponseSchema, message));
        else await terminal.print(noticeLine(terminal, message.event.value));
      }
      ({ cursor } = message);
    }
  });
  if (cursor !== "" && !session.json) await terminal.note(`continue with --cursor ${safeLine(cursor)}`);
  return undefined;
}

/** Runs `work` until it is done or the user presses Ctrl-C, which is the normal end of a watch. */
async function interruptible(session: Session, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const controller = new AbortController();
  const release = session.deps.onInterrupt(() => controller.abort());
  try {
    await work(controller.signal);
  } catch (error) {
    if (!controller.signal.aborted) throw error;
  } finally {
    release();
  }
}

function addSteering(run: Command, context: CliContext): void {
  withClientOptions(run.command("answer"))
    .description("answer the question that a run asks")
    .argument("<run>", "the run's id")
    .argument("[answer]", "the answer; if missing, it is read from the terminal")
    .option("--wait-id <id>", "the wait to answer (default: the run's open question)")
    .option("--json-answer", "the answer is JSON: text, @file, or - for standard input")
    .option("--actor <id>", "the id of the actor who answers")
    .addHelpText(
      "after",
      `
An answer that matches the text of a choice is that choice. If the question's schema takes no text, the answer is parsed
as JSON.

Examples:
  $ abstractruntime run answer expense-17 yes --actor ada
  $ abstractruntime run answer expense-17 --json-answer '{"amount": 12}'
  $ abstractruntime run answer expense-17`,
    )
    .action(async (runId: string, answer: string | undefined, options: AnswerOptions, command: Command) =>
      runWithClient(context, command, async (session) =>
        showRun(await answerRun(runId, answer, options, session), session),
      ),
    );

  withClientOptions(run.command("cancel"))
    .description("cancel a run; its on_cancel runs first")
    .argument("<run>", "the run's id")
    .option("--reason <text>", "why, for the ledger")
    .option("--actor <id>", "the id of the actor who cancels it")
    .action(async (runId: string, options: ReasonOptions, command: Command) =>
      runWithClient(context, command, async (session) =>
        showRun(
          (await session.runtime.cancelRun({ runId, reason: options.reason ?? "", actorId: options.actor ?? "" })).run,
          session,
        ),
      ),
    );

  withClientOptions(run.command("pause"))
    .description("pause a run: it takes no steps and its timers do not fire; events and answers are kept")
    .argument("<run>", "the run's id")
    .option("--reason <text>", "why, for the ledger")
    .option("--actor <id>", "the id of the actor who pauses it")
    .action(async (runId: string, options: ReasonOptions, command: Command) =>
      runWithClient(context, command, async (session) =>
        showRun(
          (await session.runtime.pauseRun({ runId, reason: options.reason ?? "", actorId: options.actor ?? "" })).run,
          session,
        ),
      ),
    );

  withClientOptions(run.command("unpause"))
    .description("let a paused run continue")
    .argument("<run>", "the run's id")
    .option("--actor <id>", "the id of the actor who unpauses it")
    .action(async (runId: string, options: ReasonOptions, command: Command) =>
      runWithClient(context, command, async (session) =>
        showRun((await session.runtime.unpauseRun({ runId, actorId: options.actor ?? "" })).run, session),
      ),
    );

  withClientOptions(run.command("tick"))
    .description("do what is due for a run now; a paused run takes a step and stays paused, as in a debugger")
    .argument("<run>", "the run's id")
    .option("--steps <n>", "how many steps a paused run may take (default: 1)")
    .action(async (runId: string, options: { steps?: string }, command: Command) =>
      runWithClient(context, command, async (session) => {
        const maxSteps =
          options.steps === undefined ? 1 : readInteger("--steps", options.steps, { min: 1, max: STEPS_MAX });
        return showRun((await session.runtime.tickRun({ runId, maxSteps })).run, session);
      }),
    );
}

type ReasonOptions = { reason?: string; actor?: string };
