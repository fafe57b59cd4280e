import type { SessionHello } from "../session.ts";
import { setImmediate as turn } from "node:timers/promises";
import { DomainError, type FieldProblem } from "../../../core/errors.ts";
import { parseJson } from "../../../core/json/json.ts";
import { compileSchema } from "../../../core/json/json-schema.ts";

/** Schemas of a hello that are compiled without a break: one takes a millisecond or more. */
const SCHEMAS_PER_TURN = 5;

/** @throws {DomainError} REQUEST_INVALID with the path of each invalid field */
export async function checkHello(hello: SessionHello): Promise<void> {
  const toolNames = hello.tools.map(({ name }) => name);
  const workflowIds = hello.workflows.map(({ workflowId }) => workflowId);
  const types = hello.customTypes.map(({ type }) => type);
  const problems = [
    ...duplicateProblems("tools", "name", toolNames),
    ...duplicateProblems("workflows", "workflowId", workflowIds),
    ...duplicateProblems("customTypes", "type", types),
  ];
  for (const [index, { inputSchema }] of hello.tools.entries()) {
    if (inputSchema === "") continue;
    if (index % SCHEMAS_PER_TURN === 0) await turn();
    try {
      compileSchema(parseJson(inputSchema));
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
