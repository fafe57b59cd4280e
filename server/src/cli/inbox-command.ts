/** `abstractruntime inbox`: the open questions to people. */
import { type Wait, WaitReasonSchema, WaitSchema, type WaitReason } from "@abstractruntime/proto/wait_pb";
import { toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";

import { answerFromPrompt } from "./answer.ts";
import { askLine, sendAnswer, showQuestion } from "./answer-run.ts";
import { type CliContext, collect, runWithClient, type Session, withClientOptions } from "./context.ts";
import { describeFailure, refusalOf, UsageError } from "./failure.ts";
import { statusText, waitTable } from "./format-run.ts";
import { type Page, readPages } from "./paging.ts";
import { safeLine } from "./terminal.ts";
import { enumShortNames, readEnums, readLabels } from "./values.ts";
import { listLimit, noteMore } from "./workflow-commands.ts";

const LIST_LIMIT_DEFAULT = 50;
/** Questions per request in interactive mode; answering them takes longer than fetching them. */
const STEP_BATCH = 50;

type InboxOptions = {
  assignee?: string;
  workflow?: string;
  session?: string;
  run?: string;
  label?: string[];
  reason?: string[];
  limit?: string;
  all?: true;
  interactive?: true;
  answer?: true;
  actor?: string;
};

export function addInboxCommand(program: Command, context: CliContext): void {
  withClientOptions(program.command("inbox"))
    .description("list the open questions to people, oldest first, or answer them one by one")
    .option("--assignee <name>", "only questions to this person or group")
    .option("--workflow <id>", "only runs of this workflow")
    .option("--session <id>", "only runs of this session")
    .option("--run <id>", "only this run")
    .option("--label <name=value>", "only runs with this label; may be given several times", collect)
    .option(
      "--reason <reason>",
      `list waits of another kind: ${enumShortNames(WaitReasonSchema).join(", ")}; may be given several times`,
      collect,
    )
    .option("--limit <n>", `how many to list at most (default: ${LIST_LIMIT_DEFAULT})`)
    .option("--all", "list all")
    .option("-i, --interactive", "show the questions one by one and read the answers")
    .option("--answer", "the same as --interactive")
    .option("--actor <id>", "the id of the actor who answers")
    .addHelpText(
      "after",
      `
With -i, an empty line skips a question, and the end of the input (Ctrl-D) ends the command. With --json, each answer
prints a line.

Examples:
  $ abstractruntime inbox --assignee finance
  $ abstractruntime inbox -i --workflow expense --actor ada`,
    )
    .action(async (options: InboxOptions, command: Command) =>
      runWithClient(context, command, (session) =>
        options.interactive === true || options.answer === true
          ? answerInbox(options, session)
          : listInbox(options, session),
      ),
    );
}

function waitPages(options: InboxOptions, session: Session, limit: number): Promise<Page<Wait>> {
  const filter = {
    reasons: readEnums("--reason", WaitReasonSchema, options.reason ?? []) as WaitReason[],
    workflowId: options.workflow ?? "",
    sessionId: options.session ?? "",
    runId: options.run ?? "",
    assignee: options.assignee ?? "",
    labels: readLabels("--label", options.label ?? []),
  };
  return readPages(limit, async (pageSize, pageToken) => {
    const page = await session.runtime.listWaits({ filter, pageSize, pageToken });
    return { items: page.waits, nextPageToken: page.nextPageToken };
  });
}

async function listInbox(options: InboxOptions, session: Session): Promise<undefined> {
  if (options.actor !== undefined) throw new UsageError("--actor needs --interactive");
  const { items, nextPageToken } = await waitPages(options, session, listLimit(options, LIST_LIMIT_DEFAULT));
  if (session.json) {
    await session.terminal.printJson({ waits: items.map((wait) => toJson(WaitSchema, wait)), nextPageToken });
    return undefined;
  }
  if (items.length === 0) await session.terminal.note("no open questions");
  else for (const line of waitTable(session.terminal, items)) await session.terminal.print(line);
  await noteMore(session, items.length, nextPageToken);
  return undefined;
}

async function answerInbox(options: InboxOptions, session: Session): Promise<undefined> {
  if (options.reason !== undefined)
    throw new UsageError("--reason cannot be combined with --interactive, which answers questions only");
  const limit = listLimit(options, Number.POSITIVE_INFINITY);
  const seen = new Set<string>();
  let answered = 0;
  // Answers may lead to new questions, so the inbox is read until it has nothing that was not shown yet.
  for (;;) {
    const { items } = await waitPages(options, session, seen.size + STEP_BATCH);
    const fresh = items.filter((wait) => !seen.has(wait.waitId));
    for (const wait of fresh) {
      if (seen.size >= limit) break;
      seen.add(wait.waitId);
      const outcome = await answerOne(wait, options.actor ?? "", session);
      if (outcome === "ended") return note(answered, session);
      if (outcome === "answered") answered += 1;
    }
    if (fresh.length === 0 || seen.size >= limit) return note(answered, session);
  }
}

async function note(answered: number, { terminal }: Session): Promise<undefined> {
  await terminal.note(`${answered} answered`);
  return undefined;
}

/** Shows a question and reads answers until it is answered, is skipped, is no longer open, or the input ends. */
async function answerOne(wait: Wait, actorId: string, session: Session): Promise<"answered" | "skipped" | "ended"> {
  const { terminal } = session;
  await terminal.note("");
  await showQuestion(wait, session);
  for (;;) {
    const typed = await askLine(wait, session);
    if (typed === undefined) {
      await terminal.note("");
      return "ended";
    }
    if (typed === "") return "skipped";
    try {
      const run = await sendAnswer(
        { runId: wait.runId, wait, answer: answerFromPrompt(wait, typed), actorId },
        session,
      );
      const status = run === undefined ? "" : statusText(run);
      if (session.json) await terminal.printJsonLine({ runId: wait.runId, waitId: wait.waitId, status });
      else await terminal.print(`${safeLine(wait.runId)}: ${status}`);
      return "answered";
    } catch (error) {
      const reason = refusalOf(error)?.reason;
      if (reason === undefined) throw error;
      await terminal.note(describeFailure(error, "").message);
      // Any other refusal means that the question is no longer open.
      if (reason !== "ANSWER_INVALID") return "skipped";
    }
  }
}
