/** What a job is given, read from its JSON texts. */
import type { Job } from "@abstractruntime/proto/worker_service_pb";
import type { JsonValue } from "@bufbuild/protobuf";

import type { HandlerInput } from "./handler.ts";
import { ToolError } from "./tool.ts";

const UTF8 = new TextDecoder("utf-8", { fatal: true });
/** What console.log asks an object for: without it, what was not looked at is shown as `[Getter/Setter]`. */
const INSPECT = Symbol.for("nodejs.util.inspect.custom");

/** The arguments of a tool, the payload of a custom effect. @throws {ToolError} PAYLOAD_INVALID */
export function readPayload({ payload }: Job): JsonValue {
  return readJson(payload);
}

/** What a handler is given, each time anew: no job sees what another one does to its vars. Large members of vars are read when they are
 *  first looked at, which throws PAYLOAD_INVALID if one is no JSON. @throws {ToolError} PAYLOAD_INVALID */
export function readHandlerInput({ payload, largeVars }: Job): HandlerInput {
  const input = readJson(payload) as HandlerInput;
  if (largeVars.length > 0) {
    const { vars } = input;
    for (const { name, value } of largeVars) defineLazily(vars, name, value);
    Object.defineProperty(vars, INSPECT, { value: () => ({ ...vars }) });
  }
  return input;
}

/** Takes the place of the null that stands for the member, so that members stay in their order. */
function defineLazily(vars: object, name: string, text: Uint8Array): void {
  let read: { value: JsonValue } | undefined;
  Object.defineProperty(vars, name, {
    enumerable: true,
    configurable: true,
    get() {
      read ??= { value: readJson(text) };
      // Not if the code has frozen them: then this stays what gives the value.
      if (Object.getOwnPropertyDescriptor(vars, name)?.configurable === true) defineValue(vars, name, read.value);
      return read.value;
    },
    // As of any member: also where the code has made an object that inherits from vars.
    set(this: object, value: unknown) {
      defineValue(this, name, value);
    },
  });
}

/** @throws {TypeError} the object is frozen */
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
