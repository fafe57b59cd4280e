/** `@abstractruntime/server`: a server for the program that calls. The server itself is the command `abstractruntime`. */
export { createRuntime, type Runtime, type RuntimeOptions } from "./runtime/create-runtime.ts";
