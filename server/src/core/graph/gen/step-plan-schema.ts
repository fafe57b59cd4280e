// Written by `npm run generate` from the contract in proto/; do not edit.

import type { JsonObject } from "../../json.ts";

/** The JSON Schema of a StepPlan's proto JSON under its JSON names. Upper bounds only: see BOUNDS for the others. */
export const STEP_PLAN_SCHEMA: JsonObject = {
  type: "object",
  properties: {
    askUser: {
      type: "object",
      properties: {
        prompt: { type: "string", maxLength: 16384 },
        details: true,
        choices: { maxItems: 1000 },
        allowFreeText: { type: "boolean" },
        answerSchema: { type: "object" },
        assignees: {
          type: "array",
          maxItems: 64,
          items: { type: "string", maxLength: 256 },
        },
        timeout: { type: "string", maxLength: 65536 },
        defaultAnswer: true,
      },
      additionalProperties: false,
    },
    waitUntil: {
      type: "object",
      properties: {
        at: { type: "string", maxLength: 65536 },
        after: { type: "string", maxLength: 65536 },
      },
      additionalProperties: false,
    },
    waitEvent: {
      type: "object",
      properties: {
        names: {
          type: "array",
          maxItems: 16,
          items: { type: "string" },
        },
        scope: { enum: ["SCOPE_UNSPECIFIED", "SCOPE_RUN", "SCOPE_SESSION", "SCOPE_WORKFLOW", "SCOPE_GLOBAL"] },
        key: { type: "string", maxLength: 256 },
        timeout: { type: "string", maxLength: 65536 },
      },
      additionalProperties: false,
    },
    emitEvent: {
      type: "object",
      properties: {
        name: { type: "string" },
        scope: { enum: ["SCOPE_UNSPECIFIED", "SCOPE_RUN", "SCOPE_SESSION", "SCOPE_WORKFLOW", "SCOPE_GLOBAL"] },
        key: { type: "string", maxLength: 256 },
        payload: true,
        eventId: { type: "string", maxLength: 65536 },
      },
      additionalProperties: false,
    },
    answerUser: {
      type: "object",
      properties: {
        message: { type: "string", maxLength: 65536 },
      },
      additionalProperties: false,
    },
    toolCalls: {
      type: "object",
      properties: {
        calls: {
          type: "array",
          maxItems: 1000,
          items: {
            type: "object",
            properties: {
              name: { type: "string", maxLength: 128 },
              arguments: { type: "object" },
              callId: { type: "string", maxLength: 256 },
            },
            additionalProperties: false,
          },
        },
        requireApproval: { type: "boolean" },
        onFailure: { enum: ["TOOL_FAILURE_UNSPECIFIED", "TOOL_FAILURE_AS_DATA", "TOOL_FAILURE_AS_ERROR"] },
      },
      additionalProperties: false,
    },
    custom: {
      type: "object",
      properties: {
        type: { type: "string", maxLength: 128 },
        payload: true,
      },
      additionalProperties: false,
    },
    resultKey: { type: "string", maxLength: 256 },
    nextNode: { type: "string" },
    completeOutput: true,
    fail: {
      type: "object",
      properties: {
        code: { type: "string", maxLength: 128 },
        message: { type: "string", maxLength: 65536 },
      },
      additionalProperties: false,
    },
    patch: {
      type: "array",
      maxItems: 1000,
      items: {
        type: "object",
        properties: {
          op: { type: "string" },
          path: { type: "string", maxLength: 8192 },
          value: true,
          values: { type: "array" },
        },
        additionalProperties: false,
      },
    },
  },
  additionalProperties: false,
};

/** Members whose null is a value; everywhere else proto JSON's null means that nothing is given. */
export const STEP_PLAN_VALUES: ReadonlySet<string> = new Set(["completeOutput", "details", "choices", "defaultAnswer", "payload", "value"]);
