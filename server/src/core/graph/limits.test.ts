import { describe, expect, test } from "vitest";

import { compileWorkflow } from "../compile/workflow.ts";
import type { FieldProblem } from "../errors.ts";
import { checkLimits, type Limits } from "./limits.ts";

function problemsOf(limits: Limits): FieldProblem[] {
  const problems: FieldProblem[] = [];
  checkLimits(limits, "limits", problems);
  return problems;
}

describe.each(["maxTokens", "maxCostUsd", "maxDepth"] as const)("%s, which nothing enforces yet", (field) => {
  const refused = [{ path: `limits.${field}`, message: "is not enforced by this release; remove it" }];

  // 0 is a limit too: whoever sets it means that nothing may be used.
  test.each([1, 0])("is refused as a limit of a start (%i)", (value) => {
    expect(problemsOf({ [field]: value })).toEqual(refused);
  });

  test("is refused when a workflow with it is registered", () => {
    const workflow = { workflowId: "flow", entryNode: "end", nodes: { end: { complete: {} } } };
    expect(() => compileWorkflow({ ...workflow, limits: { maxSteps: 5, [field]: 1 } })).toThrow(
      expect.objectContaining({ reason: "WORKFLOW_INVALID", problems: refused }),
    );
  });
});

test("every problem is reported", () => {
  expect(problemsOf({ maxDepth: 1, maxCostUsd: 1, runTimeout: "soon" }).map(({ path }) => path)).toEqual([
    "limits.maxCostUsd",
    "limits.maxDepth",
    "limits.runTimeout",
  ]);
});

test("limits that are enforced pass", () => {
  expect(problemsOf({ maxSteps: 1, runTimeout: "1h" })).toEqual([]);
});
