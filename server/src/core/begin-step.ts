/** How a step begins an effect that takes time: the effect's key, its wait, and the changes of a step plan. */
import type { DecisionBuilder } from "./decision-builder.ts";
import { addMs, type Instant, parseDurationMs } from "./duration.ts";
import { NodeFailure, orEvaluationFailure } from "./failure.ts";
import { type TextBounds, textProblem } from "./graph/text-bounds.ts";
import { idempotencyKey, waitIdOf } from "./identifiers.ts";
import { plainText } from "./json/json.ts";
import type { Names } from "./names.ts";
import { applyPatch } from "./json/pointer.ts";
import { assertVarsFit, type StepOutcome } from "./complete-step.ts";
import type { RecordBodies } from "./records.ts";
import type { TemplateValue } from "./template.ts";
import type { Wait, WaitDraft } from "./wait.ts";
import type { WorkflowNode } from "./graph/graph.ts";
import { jsonText } from "./json/json-text.ts";

/** Size limit of an evaluated prompt, message or name that a person reads. */
const TEXT_BYTES_MAX = 64 * 1024;
/** Size limit of a whole question: it is shown with its run's vars and output, and the message must stay below 3
 *  MiB. */
const WAIT_BYTES_MAX = 256 * 1024;

/** The actor's input that caused the effect: a step plan with its changes to vars, or an approval. Empty if the graph
 *  alone caused it. */
export type PlanFacts = Pick<StepOutcome, "patch" | "given" | "actorId" | "attempt" | "requestId">;

/** The idempotency key of an effect whose intent the next record states. */
export function effectKey(draft: DecisionBuilder, node: WorkflowNode, ordinal = 0): string {
  const { tenantId, runId, epoch } = draft.run;
  return idempotencyKey({ tenantId, runId, epoch, nodeId: node.nodeId, seq: draft.nextSeq, ordinal });
}

/** Opens a wait. @throws {NodeFailure} if the question, or the vars after the plan's changes, are too large */
export function openWait(
  draft: DecisionBuilder,
  node: WorkflowNode,
  effectType: string,
  waitDraft: WaitDraft,
  plan: PlanFacts = {},
): void {
  const { tenantId, runId, epoch } = draft.run;
  const wait: Wait = {
    wait_id: waitIdOf(tenantId, runId, epoch, draft.nextSeq),
    node_id: node.nodeId,
    create_time: draft.time,
    ...waitDraft,
  };
  if (Buffer.byteLength(jsonText(wait)) > WAIT_BYTES_MAX) {
    throw new NodeFailure("EVALUATION_FAILED", `A question with its details must be at most ${WAIT_BYTES_MAX} bytes.`);
  }
  // The wait already holds the effect's evaluated payload; a second copy would store everything twice.
  const effect = { type: effectType, payload: {} };
  const body = { status: "waiting", effect, wait, ...planBody(draft, node, plan) } as const;
  draft.openWait(wait);
  draft.record("step.waiting", body, { ...plan, nodeId: node.nodeId, idempotencyKey: effectKey(draft, node) });
}

/**
 * What a step plan adds to the record that begins its effect: its changes to vars, and its sequel.
 * @throws {NodeFailure} if the vars would be too large
 * @throws {PatchError} if the patch does not fit
 */
export function planBody(
  draft: DecisionBuilder,
  { sequel }: WorkflowNode,
  { patch, given, requestId }: PlanFacts,
): Pick<RecordBodies["step.started"], "patch" | "sequel" | "request_id"> {
  if (patch !== undefined && patch.length > 0) {
    const sources = given === undefined ? {} : { given: given.value };
    assertVarsFit(applyPatch(draft.run.vars, patch, sources), draft.run.vars);
  }
  return {
    ...(patch === undefined || patch.length === 0 ? {} : { patch }),
    ...(sequel === undefined ? {} : { sequel }),
    ...(requestId === undefined ? {} : { request_id: requestId }),
  };
}

/** Evaluates text that people read: a string stays as it is, any other value becomes JSON. */
export function textOf(template: TemplateValue, names: Names, what: string): string {
  const text = plainText(template.evaluate(names));
  if (Buffer.byteLength(text) > TEXT_BYTES_MAX) {
    throw new NodeFailure("EVALUATION_FAILED", `The ${what} is longer than ${TEXT_BYTES_MAX} bytes.`);
  }
  return text;
}

/** How much of a refused text a failure's message shows. */
const SHOWN_CHARS_MAX = 50;

/** Checks an evaluated text against the contract's bounds. @throws {NodeFailure} EVALUATION_FAILED, naming the bound */
export function assertText(what: string, text: string, bounds: TextBounds): void {
  const problem = textProblem(text, bounds);
  if (problem === undefined) return;
  const shown = text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX).toWellFormed()}…` : text;
  throw new NodeFailure("EVALUATION_FAILED", `The ${what} ${JSON.stringify(shown)} ${problem}.`);
}

/** The time after a duration from `now`. @throws {NodeFailure} if the duration cannot be parsed */
export function afterDuration(now: Instant, duration: TemplateValue, names: Names): Instant {
  const text = plainText(duration.evaluate(names));
  return orEvaluationFailure("duration", () => addMs(now, parseDurationMs(text)));
}
