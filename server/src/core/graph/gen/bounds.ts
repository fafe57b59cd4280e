// Written by `npm run generate` from the contract in proto/; do not edit.

/** By message and field: the bounds of values whose templates are evaluated. Lengths are in Unicode code points. */
export const BOUNDS = {
  workflow: {
    workflowId: { pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$" },
    version: { minimum: 0 },
    digest: { maxLength: 64 },
    description: { maxBytes: 16384 },
    entryNode: { pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$" },
    nodes: {
      minPairs: 1,
      maxPairs: 1000,
      keys: { pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$" },
    },
    onError: { pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$" },
    onCancel: { pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$" },
    labels: {
      maxPairs: 64,
      keys: { pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$" },
      values: { maxLength: 256 },
    },
    damage: { maxLength: 1024 },
  },
  stepPlan: {
    resultKey: { maxLength: 256, pattern: "^[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$" },
    nextNode: { pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$" },
    patch: { maxItems: 1000 },
  },
  node: {
    description: { maxLength: 1024 },
    resultKey: { maxLength: 256, pattern: "^[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$" },
    next: { maxItems: 64 },
    onError: { pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$" },
  },
  limits: {
    maxSteps: { minimum: 0, maximum: 1000000000 },
    maxTokens: { minimum: 0 },
    maxCostUsd: { minimum: 0, maximum: 1000000 },
    maxDepth: { minimum: 0, maximum: 100 },
    runTimeout: { maxLength: 64 },
    warnPercent: { minimum: 0, maximum: 100 },
  },
  askUser: {
    prompt: { minLength: 1, maxBytes: 16384 },
    choices: { minItems: 1, maxItems: 1000 },
    assignees: {
      maxItems: 64,
      items: { minLength: 1, maxLength: 256 },
    },
    timeout: { maxBytes: 65536 },
  },
  waitUntil: {
    at: { minLength: 1, maxBytes: 65536 },
    after: { minLength: 1, maxBytes: 65536 },
  },
  waitEvent: {
    names: {
      minItems: 1,
      maxItems: 16,
      items: { minLength: 1, pattern: "^[^*\\p{Cc}]{0,199}([*]|[^*\\p{Cc}])$", message: "must be 1 to 200 characters without control characters, with * at the end only" },
    },
    scope: { enum: ["SCOPE_UNSPECIFIED", "SCOPE_RUN", "SCOPE_SESSION", "SCOPE_WORKFLOW", "SCOPE_GLOBAL"] },
    key: { maxLength: 256 },
    timeout: { maxBytes: 65536 },
  },
  emitEvent: {
    name: { minLength: 1, pattern: "^[^*\\p{Cc}]{1,200}$", message: "must be 1 to 200 characters without * and control characters" },
    scope: { enum: ["SCOPE_UNSPECIFIED", "SCOPE_RUN", "SCOPE_SESSION", "SCOPE_WORKFLOW", "SCOPE_GLOBAL"] },
    key: { maxLength: 256 },
    eventId: { maxBytes: 65536 },
  },
  answerUser: {
    message: { minLength: 1, maxBytes: 65536 },
  },
  toolCalls: {
    calls: { maxItems: 1000 },
    callsFrom: { maxLength: 8192 },
    onFailure: { enum: ["TOOL_FAILURE_UNSPECIFIED", "TOOL_FAILURE_AS_DATA", "TOOL_FAILURE_AS_ERROR"] },
  },
  custom: {
    type: { minLength: 1, maxLength: 128, pattern: "^\\P{Cc}*$" },
  },
  fail: {
    code: { minLength: 1, maxLength: 128 },
    message: { maxBytes: 65536 },
  },
  patchOp: {
    op: { enum: ["PATCH_OP_KIND_UNSPECIFIED", "PATCH_OP_KIND_SET", "PATCH_OP_KIND_APPEND", "PATCH_OP_KIND_UNSET"] },
    path: { maxLength: 8192 },
    of: { enum: ["PATCH_SOURCE_UNSPECIFIED", "PATCH_SOURCE_GIVEN", "PATCH_SOURCE_RESULT", "PATCH_SOURCE_CALLS"] },
    at: { maxLength: 8192 },
  },
  assign: {
    unset: {
      maxItems: 256,
      items: { maxLength: 256, pattern: "^[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$" },
    },
  },
  edge: {
    to: { pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$" },
    when: { maxLength: 8192 },
  },
  effectPolicy: {
    maxAttempts: { minimum: 0, maximum: 1000 },
    initialBackoff: { maxBytes: 65536 },
    backoffMultiplier: { minimum: 1, maximum: 100 },
    maxBackoff: { maxBytes: 65536 },
    jitter: { enum: ["JITTER_UNSPECIFIED", "JITTER_FULL", "JITTER_NONE"] },
    timeout: { maxBytes: 65536 },
    queueTimeout: { maxBytes: 65536 },
    heartbeatTimeout: { maxBytes: 65536 },
    delivery: { enum: ["DELIVERY_UNSPECIFIED", "DELIVERY_AT_LEAST_ONCE", "DELIVERY_AT_MOST_ONCE"] },
    nonRetryableErrors: {
      maxItems: 64,
      items: { minLength: 1, maxLength: 128 },
    },
  },
  toolCall: {
    name: { minLength: 1, maxLength: 128 },
    arguments: { type: "object" },
    callId: { maxLength: 256 },
  },
} as const;
