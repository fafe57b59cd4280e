import type { Scope } from "./event.ts";
import type { Instant } from "./duration.ts";
import type { Json } from "./json.ts";

export type WaitReason = "event" | "until" | "user" | "job" | "subworkflow";

/** An open question or pause. Stands in the record that opened it and in the state, in the same form. */
export type Wait = {
  wait_id: string;
  reason: WaitReason;
  /** Absent: the run waits for its start time. */
  node_id?: string;
  create_time: Instant;
  /** When the wait ends by itself. */
  due_time?: Instant;
  // A question (reason user).
  prompt?: string;
  details?: Json;
  choices?: Json[];
  allow_free_text?: boolean;
  /** JSON Schema of the value of `answer`. */
  answer_schema?: Json;
  assignees?: string[];
  default_answer?: Json;
  /** The question is whether the calls in `details` may be made; the answer "approve" makes them. */
  approves?: true;
  // Events (reason event).
  names?: string[];
  scope?: Scope;
  scope_id?: string;
  /** Absent: events of every key. */
  key?: string;
};
