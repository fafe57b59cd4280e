/** What a job's code receives, read from the job's JSON texts. */
import type { Job } from "@abstractruntime/proto/worker_service_pb";
import type { JsonValue } from "@bufbuild/protobuf";

import type { HandlerInput } from "./handler.ts";
import { ToolError } from "./tool.ts";

const UTF8 = new TextDecoder("utf-8", { fatal: true });
/** The method by which console.log prints an object. Without it, members that were not read yet print as
 *  `[Getter/Setter]`. */
const INSPECT = Symbol.for("nodejs.util.inspect.custom");

/** The arguments of a tool, or the payload of a custom effect.
 *  @throws {ToolError} PAYLOAD_INVALID */
export function readPayload({ payload }: Job): JsonValue {
  return readJson(payload);
}

/** A handler's input, in a new copy each time: no job sees what another job does to its vars. Large members of vars are
 *  parsed when they are first read, which throws PAYLOAD_INVALID if a member is not JSON.
 *  @throws {ToolError} PAYLOAD_INVALID */
export function readHandlerInput({ payload, largeVars }: Job): HandlerInput {
  const input = readJson(payload) as HandlerInput;
  if (largeVars.length > 0) {
    const { vars } = input;
    for (const { name, value } of largeVars) defineLazily(vars, name, value);
    Object.defineProperty(vars, INSPECT, { value: () => ({ ...vars }) });
  }
  return input;
}

/** Replaces the null that stands for the member, so that members keep their order. */
function defineLazily(vars: object, name: string, text: Uint8Array): void {
  let read: { value: JsonValue } | undefined;
  Object.defineProperty(vars, name, {
    enumerable: true,
    configurable: true,
    get() {
      read ??= { value: readJson(text) };
      // If the code has frozen vars, this getter stays.
      if (Object.getOwnPropertyDescriptor(vars, name)?.configurable === true) defineValue(vars, name, read.value);
      return read.value;
    },
    // Behaves like any member, also on an object that inherits from vars.
    set(this: object, value: unknown) {
      defineValue(this, name, value);
    },
  });
}

/** @throws {TypeError} if the object is frozen */
function defineValue(object: object, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
}

function readJson(text: Uint8Array): JsonValue {
  try {
    return JSON.parse(UTF8.decode(text)) as JsonValue;
  } catch (error) {
    throw new ToolError("PAYLOAD_INVALID", "the job's payload is not JSON text", { nonRetryable: true, cause: error });
  }
}
