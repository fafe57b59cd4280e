/** Answers a wait: finds it, asks at the terminal if no answer is given, and sends the answer. */
import type { Run } from "@abstractruntime/proto/run_pb";
import { type Wait, WaitReason, WaitReasonSchema } from "@abstractruntime/proto/wait_pb";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";

import type { Json } from "../core/json/json.ts";
import { answerFromPrompt, answerFromText } from "./answer.ts";
import type { Session } from "./context.ts";
import { CliError, UsageError } from "./failure.ts";
import { choicesOf, choiceText, statusText, waitLines } from "./format-run.ts";
import { safeLine } from "./terminal.ts";
import { enumShortName, readJson } from "./values.ts";

export type AnswerOptions = { waitId?: string; jsonAnswer?: true; actor?: string };

/** Answers the named wait, or else the run's open question.
 *  @throws {CliError} if the run has no open question */
export async function answerRun(
  runId: string,
  text: string | undefined,
  options: AnswerOptions,
  session: Session,
): Promise<Run | undefined> {
  if (options.jsonAnswer === true && text === undefined) throw new UsageError("--json-answer needs an answer");
  const wait =
    options.waitId === undefined
      ? await openQuestion(runId, session)
      : (await session.runtime.getWait({ waitId: options.waitId })).wait;
  if (wait === undefined) throw new CliError("the server's reply contains no wait");
  const answer = await answerGiven(wait, text, options, session);
  return sendAnswer({ runId, wait, answer, actorId: options.actor ?? "" }, session);
}

/** Sends an answer with a request id, which makes a retry safe. */
export async function sendAnswer(
  { runId, wait, answer, actorId }: { runId: string; wait: Wait; answer: Json; actorId: string },
  session: Session,
): Promise<Run | undefined> {
  // The payload of an event is sent as it is; a person's answer goes under the name `answer`.
  const payload = wait.reason === WaitReason.EVENT ? answer : { answer };
  const { run } = await session.runtime.resumeRun({
    runId,
    waitId: wait.waitId,
    payload: fromJson(ValueSchema, payload),
    requestId: session.deps.newId(),
    actorId,
  });
  return run;
}

async function openQuestion(runId: string, { runtime }: Session): Promise<Wait> {
  const { run } = await runtime.getRun({ runId });
  if (run?.waiting?.reason === WaitReason.USER) return run.waiting;
  const state = run === undefined ? "unknown" : statusText(run);
  if (run?.waiting !== undefined) {
    const reason = enumShortName(WaitReasonSchema, run.waiting.reason);
    const hint = run.waiting.reason === WaitReason.EVENT ? "; emit the event, or answer the wait with --wait-id" : "";
    throw new CliError(`run ${safeLine(runId)} is not waiting for a person; it waits for: ${reason}${hint}`);
  }
  throw new CliError(`run ${safeLine(runId)} is not waiting for an answer: it is ${state}`);
}

async function answerGiven(
  wait: Wait,
  text: string | undefined,
  options: AnswerOptions,
  session: Session,
): Promise<Json> {
  if (text !== undefined && options.jsonAnswer === true) return readJson("--json-answer", text, session.readInput);
  if (text !== undefined) return answerFromText(wait, text);
  await showQuestion(wait, session);
  const typed = await askLine(wait, session);
  if (typed === undefined || typed === "") throw new UsageError("no answer was given");
  return answerFromPrompt(wait, typed);
}

/** Shows a question on stderr, so that stdout has only the result. */
export async function showQuestion(wait: Wait, session: Session): Promise<void> {
  for (const line of waitLines({ ...session.terminal, style: session.terminal.styleNote }, wait, true))
    await session.terminal.note(line);
  for (const [index, choice] of (choicesOf(wait) ?? []).entries()) {
    await session.terminal.note(`  ${index + 1}  ${safeLine(choiceText(choice))}`);
  }
}

/** Reads one line as the answer; undefined at the end of the input. */
export async function askLine(wait: Wait, session: Session): Promise<string | undefined> {
  await session.terminal.ask(choicesOf(wait) === undefined ? "answer> " : "answer or number> ");
  return (await session.lines().next())?.trim();
}
