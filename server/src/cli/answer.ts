/** Turns typed text into the answer to a wait. */
import type { Wait } from "@abstractruntime/proto/wait_pb";

import { DomainError } from "../core/errors.ts";
import { type Json, parseJson } from "../core/json/json.ts";
import { choicesOf, choiceText } from "./format-run.ts";

/** The answer that a text stands for: the choice with that text; else, if the schema takes no string, the text parsed
 *  as JSON; else the text itself. The server validates it. */
export function answerFromText(wait: Wait | undefined, text: string): Json {
  if (wait === undefined) return text;
  const choice = choicesOf(wait)?.find((candidate) => choiceText(candidate) === text);
  if (choice !== undefined) return choice;
  if (takesText(wait)) return text;
  try {
    return parseJson(text);
  } catch (error) {
    if (error instanceof DomainError) return text;
    throw error;
  }
}

/** The same at a prompt that numbers the choices from 1: a number stands for its choice, unless a choice has that
 *  text. */
export function answerFromPrompt(wait: Wait, text: string): Json {
  const choices = choicesOf(wait) ?? [];
  const numbered = /^[1-9]\d{0,3}$/.test(text) ? choices[Number(text) - 1] : undefined;
  const named = choices.some((choice) => choiceText(choice) === text);
  return numbered === undefined || named ? answerFromText(wait, text) : numbered;
}

/** Whether the answer may be a string, judging by the schema's `type`. */
function takesText(wait: Wait): boolean {
  const type = wait.answerSchema?.["type"];
  if (type === undefined) return true;
  return Array.isArray(type) ? type.includes("string") : type === "string";
}
