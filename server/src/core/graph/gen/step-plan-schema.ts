// Written by `npm run generate` from the contract in proto/; do not edit.

import type { JsonObject } from "../../json/json.ts";

/** The JSON Schema of a StepPlan's proto JSON under its JSON names. Upper bounds only: see BOUNDS for the others. */
export const STEP_PLAN_SCHEMA: JsonObject = {
  type: "object",
  properties: {
    askUser: {
      type: "object",
      properties: {
        prompt: { type: "string", maxLength: 16384, description: "1 to 16384 bytes" },
        details: true,
        choices: { maxItems: 1000 },
        allowFreeText: { type: "boolean" },
        answerSchema: { type: "object" },
        assignees: {
          type: "array",
          maxItems: 64,
          items: { type: "string", maxLength: 256, description: "1 to 256 characters" },
        },
        timeout: { type: "string", maxLength: 65536, description: "at most 65536 bytes" },
        defaultAnswer: true,
      },
      additionalProperties: false,
    },
    waitUntil: {
      type: "object",
      properties: {
        at: { type: "string", maxLength: 65536, description: "1 to 65536 bytes" },
        after: { type: "string", maxLength: 65536, description: "1 to 65536 bytes" },
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
        key: { type: "string", maxLength: 256, description: "at most 256 characters" },
        timeout: { type: "string", maxLength: 65536, description: "at most 65536 bytes" },
      },
      additionalProperties: false,
    },
    emitEvent: {
      type: "object",
      properties: {
        name: { type: "string" },
        scope: { enum: ["SCOPE_UNSPECIFIED", "SCOPE_RUN", "SCOPE_SESSION", "SCOPE_WORKFLOW", "SCOPE_GLOBAL"] },
        key: { type: "string", maxLength: 256, description: "at most 256 characters" },
        payload: true,
        eventId: { type: "string", maxLength: 65536, description: "at most 65536 bytes" },
      },
      additionalProperties: false,
    },
    answerUser: {
      type: "object",
      properties: {
        message: { type: "string", maxLength: 65536, description: "1 to 65536 bytes" },
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
              name: { type: "string", maxLength: 128, description: "1 to 128 characters" },
              arguments: { type: "object" },
              callId: { type: "string", maxLength: 256, description: "at most 256 characters" },
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
        type: { type: "string", maxLength: 128, description: "1 to 128 characters" },
        payload: true,
      },
      additionalProperties: false,
    },
    resultKey: { type: "string", maxLength: 256, description: "at most 256 characters" },
    nextNode: { type: "string" },
    completeOutput: true,
    fail: {
      type: "object",
      properties: {
        code: { type: "string", maxLength: 128, description: "1 to 128 characters" },
        message: { type: "string", maxLength: 65536, description: "at most 65536 bytes" },
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
          path: { type: "string", maxLength: 8192, description: "at most 8192 characters" },
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
