import { compileInPieces } from "../core/compile/workflow.ts";
import type { WorkflowDefinition } from "../core/graph/definition.ts";
import type { Workflow } from "../core/graph/graph.ts";

/** How long a graph is compiled before others get a turn. Most graphs take less, and so no turn at all. */
const TURN_MS = 10;

/** Compiles a graph as `compileWorkflow` does, in turns with the other work of the server.
 *  @throws {DomainError} WORKFLOW_INVALID */
export async function compileInTurns(definition: WorkflowDefinition, version = 0): Promise<Workflow> {
  const pieces = compileInPieces(definition, version);
  let turnStart = performance.now();
  for (;;) {
    const piece = pieces.next();
    if (piece.done === true) return piece.value;
    if (performance.now() - turnStart < TURN_MS) continue;
    await new Promise((resolve) => setImmediate(resolve));
    turnStart = performance.now();
  }
}
