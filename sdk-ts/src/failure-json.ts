import type { Json } from "./json.ts";

/** A failure as expressions, handlers and results see it. */
export type FailureJson = {
  code: string;
  message: string;
  retryable: boolean;
  node_id?: string;
  attempt?: number;
  details?: Json;
};
