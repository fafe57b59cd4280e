/** Turns what a person types into the answer that a wait takes. */
import type { Wait } from "@abstractruntime/proto/wait_pb";

import { DomainError } from "../core/errors.ts";
import { type Json, parseJson } from "../core/json/json.ts";
import { choicesOf, choiceText } from "./format-run.ts";

/** The answer that a text means: the choice that reads like it; else, where the schema wants something other than a string,
 *  its JSON; else the text itself. The server judges it. */
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

/** The same at a prompt that numbers the choices from 1: a number stands for its choice, unless a choice reads like it. */
export function answerFromPrompt(wait: Wait, text: string): Json {
  const choices = choicesOf(wait) ?? [];
  const numbered = /^[1-9]\d{0,3}$/.test(text) ? choices[Number(text) - 1] : undefined;
  const named = choices.some((choice) => choiceText(choice) === text);
  return numbered === undefined || named ? answerFromText(wait, text) : numbered;
}

/** Whether a string may be an answer, as far as the type in the schema tells. */
function takesText(wait: Wait): boolean {
  const type = wait.answerSchema?.["type"];
  if (type === undefined) return true;
  return Array.isArray(type) ? type.includes("string") : type === "string";
}
