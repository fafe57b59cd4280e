/** Answers questions of the inbox at the terminal, one by one, the oldest first. */
import type { Interface } from "node:readline/promises";

import { type Wait, WaitReason } from "@abstractruntime/proto/wait_pb";

import type { RuntimeClient } from "../support/connection.ts";
import { oneLine, type Screen } from "../support/screen.ts";
import { readLine } from "../support/terminal.ts";
import { type Answerer, choicesOf, questionOf } from "./answers.ts";

const PAGE_SIZE = 50;
const ANSWER_THE_REST = "a";

/** Shows each question of the session, until `isDone`. Returns early, with "automatic", if the person leaves the other
 *  questions to the rule of thumb, with `a` or by ending the input. */
export async function answerAtTerminal(options: {
  runtime: RuntimeClient;
  sessionId: string;
  answerer: Answerer;
  actorId: string;
  lines: Interface;
  screen: Screen;
  /** Resolves when the inbox may have changed. */
  changed: () => Promise<void>;
  isDone: () => boolean;
  signal: AbortSignal;
}): Promise<"done" | "automatic"> {
  const { runtime, sessionId, answerer, actorId, screen, changed, isDone } = options;
  const filter = { reasons: [WaitReason.USER], sessionId };
  while (!isDone()) {
    // The notice may arrive during the request, so listening begins before it.
    const next = changed();
    const { waits, nextPageToken } = await runtime.listWaits({ filter, pageSize: PAGE_SIZE });
    const [wait] = waits;
    if (wait === undefined) {
      await next;
      continue;
    }
    next.catch(() => undefined);
    screen.line();
    screen.line(screen.style("dim", `${waits.length}${nextPageToken === "" ? "" : "+"} in the inbox`));
    const answer = await readAnswer(wait, options);
    if (answer === undefined) return "automatic";
    const taken = await answerer.answer(wait, answer, actorId);
    screen.line(screen.style("dim", taken ? `${questionOf(wait).id}: ${answer}` : "somebody else has answered"));
  }
  return "done";
}

async function readAnswer(
  wait: Wait,
  { lines, screen, signal }: { lines: Interface; screen: Screen; signal: AbortSignal },
): Promise<string | undefined> {
  const question = questionOf(wait);
  const choices = choicesOf(wait);
  screen.line(screen.style("bold", oneLine(wait.prompt)));
  const about = `${question.id}, ${question.date}, ${question.amount}: ${question.description || "no description"}`;
  screen.line(`  ${oneLine(about)}${question.reminders > 0 ? `  (reminder ${question.reminders})` : ""}`);
  screen.line(
    `  ${[...choices.map((choice, index) => `${index + 1} ${choice}`), `${ANSWER_THE_REST} answer the rest for me`].join("   ")}`,
  );
  for (;;) {
    const typed = await readLine(lines, signal);
    if (typed === undefined || typed === ANSWER_THE_REST) return undefined;
    const choice = choices[Number(typed) - 1] ?? choices.find((candidate) => candidate === typed);
    if (choice !== undefined) return choice;
    screen.line(`  type a number from 1 to ${choices.length}, or ${ANSWER_THE_REST}`);
  }
}
