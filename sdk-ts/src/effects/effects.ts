/** The list of effects: what a node of a graph, or the step plan of a handler, can ask for.
 *
 *  An effect is one file, and it is named three times here. The file holds the effect's options and result, its proto
 *  JSON, the function that makes a node of it and the function that makes a step plan of it; these are public. Its
 *  default export is the effect's kind, from which the SDK derives the rest; `export *` does not pass it on, so that it
 *  stays inside the package. */
import AnswerUserKind from "./answer-user.ts";
import AskUserKind from "./ask-user.ts";
import CustomKind from "./custom.ts";
import EmitEventKind from "./emit-event.ts";
import ToolCallsKind from "./tool-calls.ts";
import WaitEventKind from "./wait-event.ts";
import WaitUntilKind from "./wait-until.ts";

export * from "./answer-user.ts";
export * from "./ask-user.ts";
export * from "./custom.ts";
export * from "./emit-event.ts";
export * from "./tool-calls.ts";
export * from "./wait-event.ts";
export * from "./wait-until.ts";

/** By the name of the member that states the effect in a node and in a step plan. */
export default {
  answerUser: AnswerUserKind,
  askUser: AskUserKind,
  custom: CustomKind,
  emitEvent: EmitEventKind,
  toolCalls: ToolCallsKind,
  waitEvent: WaitEventKind,
  waitUntil: WaitUntilKind,
};
