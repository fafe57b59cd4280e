/** `@abstractruntime/sdk`: clients, workflows, tools and workers. */
export * from "./client-only.ts";
export {
  type AbortCause,
  JobAbortedError,
  type JobContext,
  tool,
  type Tool,
  type ToolDefinition,
  type ToolDelivery,
  ToolError,
} from "./tool.ts";
export { Worker, type WorkerOptions, type WorkerState, type WorkerStats, type WorkerTiming } from "./worker.ts";
export type { WorkerLog } from "./worker-log.ts";
export type { CustomEffect, CustomFunction } from "./worker-services.ts";
