/** Compiles a graph: parses and checks every expression, template and schema, and the graph as a whole. */
import { createHash } from "node:crypto";
import { DomainError, type FieldProblem } from "../errors.ts";
import type { WorkflowDefinition } from "../graph/definition.ts";
import type { Workflow, WorkflowNode } from "../graph/graph.ts";
import { checkLimits } from "../graph/limits.ts";
import { canonicalJson } from "../json/json.ts";
import { compileSchema } from "../json/json-schema.ts";
import { compileNode } from "./node.ts";
import { checkPaths, checkTargets } from "./paths.ts";
import { collectInto } from "./place.ts";

/** The most problems that are listed; the message has the full count. */
const PROBLEMS_MAX = 100;

/** The digest of a version: SHA-256, lower-case hex, of the RFC 8785 form of everything that affects how runs
 *  behave. */
export function workflowDigest(definition: WorkflowDefinition): string {
  const { description: _description, labels: _labels, nodes, ...rest } = definition;
  return createHash("sha256")
    .update(canonicalJson({ ...rest, nodes }))
    .digest("hex");
}

/**
 * Parses and checks a whole graph.
 * @throws {DomainError} WORKFLOW_INVALID with every problem and its path
 */
export function compileWorkflow(definition: WorkflowDefinition, version = 0): Workflow {
  const problems: FieldProblem[] = [];
  const at = collectInto(problems);
  const nodes = new Map<string, WorkflowNode>();
  for (const [nodeId, node] of Object.entries(definition.nodes ?? {})) {
    const compiled = compileNode(nodeId, node, { at, problems });
    if (compiled !== undefined) nodes.set(nodeId, compiled);
  }
  checkTargets(definition, problems);
  checkPaths(definition, problems);
  const { varsSchema } = definition;
  const varsValidator = varsSchema && at("varsSchema", () => compileSchema(varsSchema));
  checkLimits(definition.limits, "limits", problems);
  if (problems.length > 0) {
    const shown = problems.slice(0, PROBLEMS_MAX);
    throw new DomainError("WORKFLOW_INVALID", `The workflow has ${problems.length} problem(s).`, {
      metadata: { workflow_id: definition.workflowId, problems: String(problems.length) },
      problems: shown,
    });
  }
  return {
    workflowId: definition.workflowId,
    version,
    digest: workflowDigest(definition),
    definition,
    entryNode: definition.entryNode,
    nodes,
    ...(definition.defaultVars === undefined ? {} : { defaultVars: definition.defaultVars }),
    ...(varsValidator === undefined ? {} : { varsValidator }),
    ...(definition.onError ? { onError: definition.onError } : {}),
    ...(definition.onCancel ? { onCancel: definition.onCancel } : {}),
    limits: definition.limits ?? {},
    commitEveryStep: definition.commitEveryStep ?? false,
  };
}
