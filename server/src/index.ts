/** `@abstractruntime/server`: a server inside your own program. The server itself is the command `abstractruntime`. */
export { createRuntime, type Runtime, type RuntimeOptions } from "./runtime/create-runtime.ts";
