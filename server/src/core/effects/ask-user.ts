/** Asks a person. The question stays in the inbox until somebody answers it or it times out. */
import { assertAnswers } from "../answer-check.ts";
import { afterDuration, assertText, openWait, textOf } from "../begin-step.ts";
import { type KindPlace, within } from "../compile/place.ts";
import { completeStep, valueResult } from "../complete-step.ts";
import type { DecisionBuilder } from "../decision-builder.ts";
import { NodeFailure } from "../failure.ts";
import type { NodeDefinition } from "../graph/definition.ts";
import { BOUNDS } from "../graph/gen/bounds.ts";
import type { WorkflowNode } from "../graph/graph.ts";
import { deepEqual, type Json, type JsonObject } from "../json/json.ts";
import { compileSchema, type SchemaValidator } from "../json/json-schema.ts";
import type { Names } from "../names.ts";
import type { TemplateValue } from "../template.ts";
import type { QuestionWait, WaitDraft } from "../wait.ts";
import type { EffectKind, WaitHandling } from "./effect.ts";

export type AskUser = {
  type: "ask_user";
  prompt: TemplateValue;
  details?: TemplateValue;
  choices?: TemplateValue;
  allowFreeText: boolean;
  answerSchema?: JsonObject;
  answerValidator?: SchemaValidator;
  assignees: readonly TemplateValue[];
  timeout?: TemplateValue;
  defaultAnswer?: TemplateValue;
};

type Definition = NonNullable<NodeDefinition["askUser"]>;

const question: WaitHandling<QuestionWait> = {
  answer(wait, { draft, workflow, node }, answer) {
    assertAnswers(wait, answer.given.value, validatorOf(wait, node));
    const rest: JsonObject = { timed_out: false, answered_by: answer.actorId ?? null, answer_time: draft.time };
    completeStep(draft, workflow, node, {
      ...answer,
      result: [
        { op: "set", path: "", value: rest },
        { op: "set", path: "/answer", of: "given", at: "/answer" },
      ],
    });
  },
  wake(wait, { draft, workflow, node }, { isDue }) {
    if (isDue) {
      const answer = wait.default_answer ?? null;
      const result = valueResult({ answer, timed_out: true, answered_by: null, answer_time: null });
      draft.closeWait("time");
      completeStep(draft, workflow, node, { result });
    }
    return undefined;
  },
};

export const askUser: EffectKind<AskUser, Definition> = {
  key: "askUser",
  type: "ask_user",
  rests: true,
  compile(definition, place) {
    const prompt = place.required("prompt", definition.prompt, within(BOUNDS.askUser.prompt));
    const schema = definition.answerSchema;
    const validator = place.schema("answerSchema", schema);
    checkChoices(definition.choices, place);
    return (
      prompt && {
        type: "ask_user",
        prompt,
        ...place.optional("details", definition.details),
        ...place.optional("choices", definition.choices),
        allowFreeText: definition.allowFreeText ?? false,
        ...(schema === undefined ? {} : { answerSchema: schema }),
        ...(validator === undefined ? {} : { answerValidator: validator }),
        assignees: place.texts("assignees", definition.assignees, within(BOUNDS.askUser.assignees.items)),
        ...place.duration("timeout", definition.timeout),
        ...place.optional("defaultAnswer", definition.defaultAnswer),
      }
    );
  },
  begin(compiled, { draft, node, names, plan }) {
    openWait(draft, node, "ask_user", questionOf(draft, compiled, names), plan);
    return undefined;
  },
  waits: { question },
  summary: ({ prompt }) => `asks: ${prompt ?? ""}`,
  drawing: { shape: ["[/", "/]"], class: "wait" },
};

function checkChoices(choices: Json | undefined, place: KindPlace): void {
  if (choices === undefined) return;
  if (Array.isArray(choices)) {
    if (choices.length === 0) place.problem("choices", "needs at least one choice");
  } else if (!place.areTemplates || typeof choices !== "string" || !choices.includes("${")) {
    place.problem("choices", "must be a list, or a template that evaluates to one");
  }
}

function questionOf(draft: DecisionBuilder, kind: AskUser, names: Names): WaitDraft {
  const choices = kind.choices?.evaluate(names);
  const { minItems, maxItems } = BOUNDS.askUser.choices;
  if (choices !== undefined && (!Array.isArray(choices) || choices.length < minItems || choices.length > maxItems)) {
    throw new NodeFailure("EVALUATION_FAILED", `choices must be a list of ${minItems} to ${maxItems} values.`);
  }
  const assignees = kind.assignees.flatMap((template) => {
    const value = template.evaluate(names);
    return Array.isArray(value) ? value : [value];
  });
  const { maxItems: assigneesMax, items: assigneeBounds } = BOUNDS.askUser.assignees;
  if (!assignees.every((assignee) => typeof assignee === "string") || assignees.length > assigneesMax) {
    throw new NodeFailure("EVALUATION_FAILED", `assignees must be at most ${assigneesMax} strings.`);
  }
  for (const assignee of assignees) assertText("assignee", assignee, assigneeBounds);
  const details = kind.details?.evaluate(names);
  const defaultAnswer = kind.defaultAnswer?.evaluate(names);
  return {
    asks: "question",
    prompt: textOf(kind.prompt, names, "prompt"),
    ...(details === undefined ? {} : { details }),
    ...(choices === undefined ? {} : { choices }),
    ...(kind.allowFreeText ? { allow_free_text: true } : {}),
    answer_schema: kind.answerSchema ?? schemaOfChoices(choices, kind.allowFreeText),
    ...(assignees.length === 0 ? {} : { assignees }),
    ...(kind.timeout === undefined ? {} : { due_time: afterDuration(draft.now, kind.timeout, names) }),
    ...(defaultAnswer === undefined ? {} : { default_answer: defaultAnswer }),
  };
}

/** The schema of `answer` if the graph has none, so that one form renders every question. */
function schemaOfChoices(choices: Json[] | undefined, allowFreeText: boolean): JsonObject {
  if (choices === undefined) return {};
  return allowFreeText ? { anyOf: [{ enum: choices }, { type: "string" }] } : { enum: choices };
}

/**
 * The graph's schema is already compiled. The question of a step plan has its own schema. If that was only derived from
 * its choices, no schema is compiled: choices are checked separately, and may be more than a schema can hold.
 */
function validatorOf(wait: QuestionWait, { kind }: WorkflowNode): SchemaValidator | undefined {
  if (kind.type === "ask_user") return (kind as AskUser).answerValidator;
  const { choices, allow_free_text, answer_schema } = wait;
  const isOfChoices = deepEqual(answer_schema, schemaOfChoices(choices, allow_free_text === true));
  return isOfChoices ? undefined : compileSchema(answer_schema);
}
