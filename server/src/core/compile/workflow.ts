/** Compiles a graph: parses and checks every expression, template and schema, and the graph as a whole. */
import { createHash } from "node:crypto";
import { DomainError, type FieldProblem } from "../errors.ts";
import type { WorkflowDefinition } from "../graph/definition.ts";
import type { Workflow, WorkflowNode } from "../graph/graph.ts";
import { checkLimits } from "../graph/limits.ts";
import { canonicalJson } from "../json/json.ts";
import { compileSchema } from "../json/json-schema.ts";
import { createGraphAllowances, expressionCharacters } from "./graph-allowances.ts";
import { compileNode } from "./node.ts";
import { checkPaths, checkTargets } from "./paths.ts";
import { collectInto, PROBLEMS_COUNTED_MAX } from "./place.ts";

/** The most problems that are listed; the message has the full count. */
const PROBLEMS_MAX = 100;

/** What a compiled graph weighs, in bytes: per character of its expressions, measured up to 75; … */
const WEIGHT_OF_EXPRESSIONS = 80;
/** … per character of its JSON text, of which parsing makes objects; … */
const WEIGHT_OF_TEXT = 20;
/** … and for one without nodes. */
const WEIGHT_BASE = 4 * 1024;

/** The digest of a version: SHA-256, lower-case hex, of the RFC 8785 form of everything that affects how runs
 *  behave. */
export function workflowDigest(definition: WorkflowDefinition): string {
  return digestOf(canonicalText(definition));
}

function canonicalText(definition: WorkflowDefinition): string {
  const { description: _description, labels: _labels, nodes, ...rest } = definition;
  return canonicalJson({ ...rest, nodes });
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/**
 * Parses and checks a whole graph.
 * @throws {DomainError} WORKFLOW_INVALID with every problem and its path
 */
export function compileWorkflow(definition: WorkflowDefinition, version = 0): Workflow {
  const pieces = compileInPieces(definition, version);
  for (;;) {
    const piece = pieces.next();
    if (piece.done === true) return piece.value;
  }
}

/**
 * Compiles as `compileWorkflow` does, and yields after each node: a graph of 1 MiB takes up to a second, and a server
 * has other work to do meanwhile.
 * @throws {DomainError} WORKFLOW_INVALID with every problem and its path
 */
export function* compileInPieces(definition: WorkflowDefinition, version = 0): Generator<void, Workflow> {
  const problems: FieldProblem[] = [];
  const allowances = createGraphAllowances();
  const at = collectInto(problems);
  const nodes = new Map<string, WorkflowNode>();
  for (const [nodeId, node] of Object.entries(definition.nodes ?? {})) {
    const compiled = compileNode(nodeId, node, { at, problems, allowances });
    if (compiled !== undefined) nodes.set(nodeId, compiled);
    yield;
  }
  checkTargets(definition, problems);
  checkPaths(definition, problems);
  const { varsSchema } = definition;
  const varsValidator = varsSchema && at("varsSchema", () => compileSchema(varsSchema, allowances));
  checkLimits(definition.limits, "limits", problems);
  if (problems.length > 0) {
    const shown = problems.slice(0, PROBLEMS_MAX);
    const count = problems.length < PROBLEMS_COUNTED_MAX ? `${problems.length}` : `${PROBLEMS_COUNTED_MAX} or more`;
    throw new DomainError("WORKFLOW_INVALID", `The workflow has ${count} problem(s).`, {
      metadata: { workflow_id: definition.workflowId, problems: String(problems.length) },
      problems: shown,
    });
  }
  const text = canonicalText(definition);
  return {
    workflowId: definition.workflowId,
    version,
    digest: digestOf(text),
    weight: WEIGHT_BASE + text.length * WEIGHT_OF_TEXT + expressionCharacters(allowances) * WEIGHT_OF_EXPRESSIONS,
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
