/** Waits: a union by what the wait asks. Decisions use these types, never the form that a person is shown. */
import assert from "node:assert/strict";
import type { Scope } from "./event.ts";
import type { Instant } from "./duration.ts";
import { isJsonObject, type Json, type JsonObject } from "./json/json.ts";
import { defined } from "./defined.ts";

/** What a wait is for, as clients filter by it. */
export type WaitReason = "event" | "until" | "user" | "job" | "subworkflow";

type WaitBase = {
  wait_id: string;
  /** Absent if the run waits for its start time. */
  node_id?: string;
  create_time: Instant;
  /** When the wait ends by itself. */
  due_time?: Instant;
};

/** A person is asked. */
export type QuestionWait = WaitBase & {
  asks: "question";
  prompt: string;
  details?: Json;
  choices?: Json[];
  allow_free_text?: boolean;
  /** JSON Schema of the value of `answer`. */
  answer_schema: Json;
  assignees?: string[];
  default_answer?: Json;
};

/** A call that waits for approval. */
export type ProposedCall = { name: string; call_id: string; arguments: JsonObject };

/** A person is asked whether these calls may be made. */
export type ApprovalWait = WaitBase & {
  asks: "approval";
  prompt: string;
  calls: ProposedCall[];
  assignees?: string[];
};

/** The run waits for a time. */
export type TimeWait = WaitBase & { asks: "time"; due_time: Instant };

/** The run waits for an event of a channel. */
export type EventWait = WaitBase & {
  asks: "event";
  /** Names, or prefixes that end in `*`. */
  names: string[];
  scope: Scope;
  scope_id: string;
  /** If absent, events of every key. */
  key?: string;
};

/** An open wait. It has the same form in the record that opened it and in the run's state. */
export type Wait = QuestionWait | ApprovalWait | TimeWait | EventWait;

/** A wait before it has its id and its node. */
export type WaitDraft = Wait extends infer W
  ? W extends Wait
    ? Omit<W, "wait_id" | "node_id" | "create_time">
    : never
  : never;

/** Reads a stored wait. @throws if it has not the form of one */
export function readWait(stored: Json | undefined): Wait {
  assert(isJsonObject(stored), "a wait is an object");
  const { asks, wait_id, node_id = "", create_time, due_time = "", assignees = [] } = stored;
  assert([wait_id, node_id, create_time, due_time].every(isText), "a wait has its id and its times");
  assert(isTexts(assignees), "assignees are names");
  const { prompt, answer_schema, choices = [], calls, names, scope, scope_id, key = "" } = stored;
  if (asks === "question") assert(isText(prompt) && answer_schema !== undefined && Array.isArray(choices));
  else if (asks === "approval") assert(isText(prompt) && Array.isArray(calls) && calls.every(isJsonObject));
  else if (asks === "time") assert(due_time !== "");
  else assert(asks === "event" && isTexts(names) && [scope, scope_id, key].every(isText));
  return stored as unknown as Wait;
}

function isText(value: Json | undefined): boolean {
  return typeof value === "string";
}

function isTexts(value: Json | undefined): boolean {
  return Array.isArray(value) && value.every(isText);
}

/** The answers to "may these calls be made?". */
export const APPROVAL_CHOICES = ["approve", "deny"] as const;

const REASONS = { question: "user", approval: "user", time: "until", event: "event" } as const satisfies Record<
  Wait["asks"],
  WaitReason
>;

/** What the wait is for, as clients filter by it. */
export function reasonOf({ asks }: Pick<Wait, "asks">): WaitReason {
  return REASONS[asks];
}

/** What a person is shown of a wait, and which answers are allowed. One form renders every wait. */
export type ShownWait = {
  prompt?: string;
  details?: Json;
  choices?: Json[];
  allowFreeText?: boolean;
  answerSchema?: Json;
  assignees?: readonly string[];
};

/** What a person is shown of a wait. Empty for a wait that no person answers. */
export function shownWait(wait: Wait): ShownWait {
  switch (wait.asks) {
    case "question": {
      const { prompt, details, choices, allow_free_text, answer_schema, assignees } = wait;
      return {
        prompt,
        answerSchema: answer_schema,
        ...defined({ details, choices, allowFreeText: allow_free_text, assignees }),
      };
    }
    case "approval": {
      const { prompt, calls, assignees } = wait;
      return {
        prompt,
        details: { calls: calls.map(({ name, call_id, arguments: given }) => ({ name, call_id, arguments: given })) },
        choices: [...APPROVAL_CHOICES],
        answerSchema: { enum: [...APPROVAL_CHOICES] },
        ...(assignees === undefined ? {} : { assignees }),
      };
    }
    case "time":
    case "event":
      return {};
  }
}
