/** Tools: named functions that workers serve, with the schema of their arguments. */
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

import { createArgumentsCheck, type ParsedOf } from "./arguments-check.ts";
import { given } from "./given.ts";
import type { JsonOf, JsonSchema, Schema, StandardSchema } from "./schema.ts";

/** Whether a call may run twice. `at-most-once`: a call that may have run is never run again silently. */
export type ToolDelivery = "at-least-once" | "at-most-once";

export type ToolDefinition<S extends Schema = Schema> = {
  /** The name that tool calls use: 1 to 128 characters, no control characters. */
  name: string;
  /** For people; at most 64 characters. */
  version?: string;
  /** What the tool does, for people and models; at most 16 KiB. */
  description?: string;
  /** The arguments: a Zod 4 schema (or another Standard Schema with a JSON Schema), or a JSON Schema 2020-12 with local
   *  `$ref` only. Default: any object. At most 64 KiB as JSON text. */
  input?: S;
  /** Default `at-least-once`. The node's policy overrides it. */
  delivery?: ToolDelivery;
  /** How many of its calls one worker runs at once, 1 to 10,000. Default: limited only by the worker's concurrency. */
  concurrency?: number;
};

/** Why `JobContext.signal` was aborted. */
export type AbortCause =
  /** The result is no longer wanted. */
  | "CANCELLED"
  /** The server has given the job to another worker, or may do so. */
  | "LEASE_LOST"
  /** The attempt took longer than the node's policy allows. */
  | "TIMEOUT"
  /** The worker is stopping. */
  | "SHUTDOWN";

/** The `reason` of an aborted `JobContext.signal`. */
export class JobAbortedError extends Error {
  override readonly name = "JobAbortedError";
  readonly reason: AbortCause;

  constructor(reason: AbortCause, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** What a tool, a handler or a custom effect knows about its job. */
export type JobContext = {
  /** Makes the work safe to repeat. All attempts of this call have the same key, and no other call has it. Pass it to
   *  the systems that the work changes. */
  readonly idempotencyKey: string;
  /** The attempt, from 1. */
  readonly attempt: number;
  readonly runId: string;
  readonly workflowId: string;
  /** The workflow's version. */
  readonly version: number;
  readonly nodeId: string;
  /** The name of the call in the effect's results; empty if the job is not a tool call. */
  readonly callId: string;
  /** The run's session; empty if the run has no session. */
  readonly sessionId: string;
  /** Aborted when the result is no longer wanted; its reason is a `JobAbortedError`. Pass it to the calls that you
   *  await. */
  readonly signal: AbortSignal;
  /** Whether the run is paused at the moment. The job may go on; its result is accepted. */
  readonly paused: boolean;
  /** Reports that the work goes on. Needed only if the node's policy has a heartbeat timeout. Call it as often as you
   *  like. */
  heartbeat(): void;
};

/** A tool that a worker can serve. `tool()` makes it. */
export type Tool<Input = unknown, Output = unknown> = {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  /** The JSON Schema of the arguments. Absent: any object. */
  readonly inputSchema?: JsonObject;
  readonly delivery?: ToolDelivery;
  readonly concurrency?: number;
  /** Checks the arguments and calls the function.
   *  @throws {ToolError} ARGUMENTS_INVALID if they do not fit; otherwise whatever the function throws */
  call(args: JsonValue, context: JobContext): Promise<Output>;
  /** For the compiler only: the types of arguments and output. */
  readonly types?: { readonly input: Input; readonly output: Output };
};

/** Marks every ToolError, also that of another copy of this package, and of a class that extends it. */
export const TOOL_ERROR = Symbol.for("abstractruntime.ToolError");

/** A failure of a tool or handler that the workflow sees as data. Any other thrown value fails with TOOL_FAILED. */
export class ToolError extends Error {
  override readonly name: string = "ToolError";
  readonly [TOOL_ERROR] = true;
  /** For programs: any text. Cut to 128 characters; U+0000 and lone surrogates become U+FFFD. If empty, TOOL_FAILED. */
  readonly code: string;
  /** Whether another attempt cannot help. If false, the node's policy decides. */
  readonly nonRetryable: boolean;
  /** What else is known: any JSON up to 64 KiB. Anything else is left out. */
  readonly details?: JsonValue;

  constructor(
    code: string,
    message: string,
    options: { nonRetryable?: boolean; details?: JsonValue; cause?: unknown } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.nonRetryable = options.nonRetryable ?? false;
    if (options.details !== undefined) this.details = options.details;
  }
}

/** Bounds of the contract. */
const NAME_CHARS_MAX = 128;
const VERSION_CHARS_MAX = 64;
const DESCRIPTION_BYTES_MAX = 16 * 1024;
const CONCURRENCY_MAX = 10_000;

/** Defines a tool. The function receives arguments that fit the schema, parsed by it, and returns any JSON; `undefined`
 *  counts as null. What JSON.stringify would write as something else (a Map, bytes, NaN, a hole in a list) fails the
 *  call with RESULT_INVALID. If it throws, or returns an error, the call fails; the node's policy decides whether there
 *  is another attempt.
 *
 *  @throws {TypeError} if the definition is outside the contract's bounds, or the schema cannot be used */
export function tool<S extends StandardSchema, Output>(
  definition: ToolDefinition<S> & { input: S },
  run: (args: ParsedOf<S>, context: JobContext) => Output | Promise<Output>,
): Tool<JsonOf<S>, Output>;
/** Defines a tool with a JSON Schema. Annotate `args` with the type that the schema describes. */
export function tool<Args = JsonObject, Output = unknown>(
  definition: ToolDefinition<JsonSchema>,
  run: (args: Args, context: JobContext) => Output | Promise<Output>,
): Tool<Args, Output>;
export function tool(definition: ToolDefinition, run: (args: never, context: JobContext) => unknown): Tool {
  const { name, version = "", description = "", delivery, concurrency } = definition;
  assertDefinition(name, version, description, concurrency);
  const { schema, parse } = createArgumentsCheck(name, definition.input);
  return {
    name,
    version,
    description,
    ...given({ inputSchema: schema, delivery, concurrency }),
    async call(args, context) {
      const parsed = await parse(args);
      if ("problems" in parsed) {
        const [first] = parsed.problems;
        const where = first === undefined || first.path === "" ? "" : `${first.path}: `;
        throw new ToolError("ARGUMENTS_INVALID", `the arguments do not fit: ${where}${first?.message ?? ""}`, {
          nonRetryable: true,
          details: { problems: parsed.problems },
        });
      }
      return run(parsed.args as never, context);
    },
  };
}

function assertDefinition(name: string, version: string, description: string, concurrency: number | undefined): void {
  assertServedName("the name of a tool", name);
  if (version.length > VERSION_CHARS_MAX) {
    throw new TypeError(`the version of tool ${name} has more than ${VERSION_CHARS_MAX} characters`);
  }
  if (Buffer.byteLength(description) > DESCRIPTION_BYTES_MAX) {
    throw new TypeError(`the description of tool ${name} has more than ${DESCRIPTION_BYTES_MAX} bytes`);
  }
  assertConcurrency(`tool ${name}`, concurrency);
}

/** @param what for messages
 *  @throws {TypeError} if the name is outside the contract's bounds */
export function assertServedName(what: string, name: string): void {
  if (typeof name === "string" && name !== "" && name.length <= NAME_CHARS_MAX && !/\p{Cc}/u.test(name)) return;
  throw new TypeError(
    `${what} must have 1 to ${NAME_CHARS_MAX} characters and no control character: ${JSON.stringify(name)}`,
  );
}

/** @param what for messages
 *  @throws {TypeError} if the concurrency is outside the contract's bounds */
export function assertConcurrency(what: string, concurrency: number | undefined): void {
  if (
    concurrency !== undefined &&
    !(Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= CONCURRENCY_MAX)
  ) {
    throw new TypeError(`the concurrency of ${what} must be a whole number from 1 to ${CONCURRENCY_MAX}`);
  }
}
