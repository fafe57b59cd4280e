import type { WorkflowFilter } from "@abstractruntime/proto/runtime_service_pb";
import { type Workflow, WorkflowSchema } from "@abstractruntime/proto/workflow_pb";
import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { DomainError, type FieldProblem } from "../core/errors.ts";
import { compileWorkflow } from "../core/compile/workflow.ts";
import type { WorkflowDefinition } from "../core/graph/definition.ts";
import type { WorkflowView } from "../engine/api.ts";
import { jsonObjectFromStruct } from "./json-conversion.ts";
import { timestampFromInstant } from "./time-conversion.ts";

/** Fields that the server sets: ignored in requests, and not part of a definition. */
const SERVER_FIELDS = ["version", "digest", "current", "archived", "createTime", "damage"] as const;

/** Returns the definition: the proto JSON without default values and without the fields that the server sets. */
export function definitionFromProto(workflow: Workflow): WorkflowDefinition {
  const definition = jsonObjectFromStruct(toJson(WorkflowSchema, workflow) as { [key: string]: JsonValue });
  for (const field of SERVER_FIELDS) Reflect.deleteProperty(definition, field);
  return definition as unknown as WorkflowDefinition;
}

export function workflowToProto(view: WorkflowView): Workflow {
  const workflow = fromJson(WorkflowSchema, view.definition as unknown as JsonValue);
  workflow.version = view.version;
  workflow.digest = view.digest;
  workflow.current = view.current;
  workflow.archived = view.archived;
  workflow.damage = view.damage ?? "";
  workflow.createTime = timestampFromInstant(view.createTime);
  return workflow;
}

/** Returns all problems of a graph that violates rules of its fields: the violations, and what the compiler finds
 *  elsewhere in it. */
export function workflowProblems(workflow: Workflow, violations: readonly FieldProblem[]): FieldProblem[] {
  const broken = violations.map(({ path, message }) => ({ path: path.replace(/^workflow\.?/, ""), message }));
  const paths = new Set(broken.map(({ path }) => path));
  return [...broken, ...compilerProblems(workflow).filter(({ path }) => !paths.has(path))];
}

function compilerProblems(workflow: Workflow): readonly FieldProblem[] {
  try {
    compileWorkflow(definitionFromProto(workflow));
    return [];
  } catch (error) {
    if (error instanceof DomainError) return error.problems;
    throw error;
  }
}

/** Applies the parts of a filter that the engine ignores. A page may therefore hold fewer workflows than requested. */
export function matchesWorkflowFilter(view: WorkflowView, filter: WorkflowFilter | undefined): boolean {
  if (filter?.archived !== undefined && filter.archived !== view.archived) return false;
  const labels = view.definition.labels ?? {};
  return Object.entries(filter?.labels ?? {}).every(
    ([name, value]) => Object.hasOwn(labels, name) && labels[name] === value,
  );
}
