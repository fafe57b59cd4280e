import type { SessionHello } from "../session.ts";
import { setImmediate as turn } from "node:timers/promises";
import { DomainError, type FieldProblem } from "../../../core/errors.ts";
import { parseJson } from "../../../core/json/json.ts";
import { checkSchema, createSchemaAllowances } from "../../../core/json/schema-check.ts";

/** How long schemas are checked before others get a turn. Most hellos take less, and so no turn at all. */
const TURN_MS = 10;
/** What all schemas of one hello may use together: 1,000 tools with 30 patterns each fit. */
const HELLO_BOUNDS = { bytesMax: 4 * 1024 * 1024, subschemasMax: 100_000, regexInstructionsMax: 3_000_000 };

/**
 * Checks what a worker says of itself. Schemas are checked and not compiled: the worker checks the arguments of calls.
 * @throws {DomainError} REQUEST_INVALID with the path of each invalid field
 */
export async function checkHello(hello: SessionHello): Promise<void> {
  const toolNames = hello.tools.map(({ name }) => name);
  const workflowIds = hello.workflows.map(({ workflowId }) => workflowId);
  const types = hello.customTypes.map(({ type }) => type);
  const problems = [
    ...duplicateProblems("tools", "name", toolNames),
    ...duplicateProblems("workflows", "workflowId", workflowIds),
    ...duplicateProblems("customTypes", "type", types),
  ];
  const allowances = createSchemaAllowances("hello", HELLO_BOUNDS);
  let turnStart = performance.now();
  for (const [index, { inputSchema }] of hello.tools.entries()) {
    if (inputSchema === "") continue;
    if (performance.now() - turnStart > TURN_MS) {
      await turn();
      turnStart = performance.now();
    }
    try {
      checkSchema(parseJson(inputSchema), allowances);
    } catch (error) {
      problems.push({ path: `hello.tools[${index}].inputSchema`, message: (error as Error).message });
    }
  }
  if (problems.length > 0) throw new DomainError("REQUEST_INVALID", "The hello is not valid.", { problems });
}

function duplicateProblems(list: string, field: string, names: readonly string[]): FieldProblem[] {
  const seen = new Set<string>();
  const problems: FieldProblem[] = [];
  for (const [index, name] of names.entries()) {
    if (seen.has(name)) {
      const path = `hello.${list}[${index}].${field}`;
      problems.push({ path, message: `${JSON.stringify(name)} occurs twice in the list` });
    }
    seen.add(name);
  }
  return problems;
}
