/** Enforces the rules that the contract states on its fields (protovalidate). */
import { RegisterWorkflowRequestSchema } from "@abstractruntime/proto/runtime_service_pb";
import { type DescMessage, isMessage, type Message } from "@bufbuild/protobuf";
import { createValidator, type Violation } from "@bufbuild/protovalidate";
import type { Interceptor } from "@connectrpc/connect";
import { ConnectError } from "@connectrpc/connect";
import { DomainError, type FieldProblem } from "../core/errors.ts";
import { dottedPath, segmentsFromPath } from "./field-path.ts";
import { messageProblems } from "./message-check.ts";
import { refuseProblems } from "./request-decoding.ts";
import { workflowProblems } from "./workflow-conversion.ts";

/** The patterns are the contract's own and run in linear time, so the platform's engine is safe. RE2 in JavaScript
 *  is slow. */
const PATTERNS = new Map<string, RegExp>();

function matchesPattern(pattern: string, text: string): boolean {
  let regExp = PATTERNS.get(pattern);
  if (regExp === undefined) {
    regExp = new RegExp(pattern, "u");
    PATTERNS.set(pattern, regExp);
  }
  return regExp.test(text);
}

/** One per process: it compiles the rules of a message type on first use. */
const validator = createValidator({ regexMatch: matchesPattern });

/** Returns every rule that a message violates. */
function validationProblems(desc: DescMessage, message: Message): FieldProblem[] {
  const result = validator.validate(desc, message);
  switch (result.kind) {
    case "valid":
      return [];
    case "invalid":
      return result.violations.map(violationToProblem);
    case "error":
      throw result.error;
  }
}

function violationToProblem(violation: Violation): FieldProblem {
  return { path: dottedPath(segmentsFromPath(violation.field)), message: violation.message };
}

/** Refuses requests that violate a rule: with WORKFLOW_INVALID if the graph does, otherwise with REQUEST_INVALID. In
 *  streams of requests, each message also gets the checks that request-decoding.ts applies to single requests. */
export function validationInterceptor(): Interceptor {
  return (next) => async (request) => {
    const desc = request.method.input;
    if (!request.stream) validate(desc, request.message);
    else if (request.method.methodKind === "server_streaming") {
      return await next({ ...request, message: validated(desc, request.message) });
    } else return await next({ ...request, message: checked(desc, request.message) });
    return await next(request);
  };
}

function validate(desc: DescMessage, message: Message): void {
  const problems = validationProblems(desc, message);
  if (problems.length === 0) return;
  if (isMessage(message, RegisterWorkflowRequestSchema) && message.workflow !== undefined) {
    throw workflowInvalid(message.workflow.workflowId, workflowProblems(message.workflow, problems));
  }
  refuseProblems(problems);
}

function workflowInvalid(workflowId: string, problems: FieldProblem[]): DomainError {
  return new DomainError("WORKFLOW_INVALID", `the workflow has ${problems.length} problem(s)`, {
    metadata: { workflow_id: workflowId },
    problems,
  });
}

async function* validated(desc: DescMessage, messages: AsyncIterable<Message>): AsyncGenerator<Message> {
  for await (const message of messages) {
    validate(desc, message);
    yield message;
  }
}

async function* checked(desc: DescMessage, messages: AsyncIterable<Message>): AsyncGenerator<Message> {
  try {
    for await (const message of messages) {
      refuseProblems(messageProblems(desc, message));
      validate(desc, message);
      yield message;
    }
  } catch (error) {
    // Errors of connect's decoder have no details.
    if (error instanceof ConnectError && error.details.length === 0) {
      throw new DomainError("REQUEST_INVALID", `the request cannot be decoded: ${error.rawMessage}`);
    }
    throw error;
  }
}
