import { WaitSchema } from "@abstractruntime/proto/wait_pb";
import { fromJson, type JsonObject } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";

import { answerFromPrompt, answerFromText } from "./answer.ts";

const waitWith = (fields: JsonObject) => fromJson(WaitSchema, fields);

describe("answerFromText", () => {
  it.each<[string, JsonObject, string, unknown]>([
    ["text", {}, "12", "12"],
    ["a choice", { choices: ["yes", "no"] }, "yes", "yes"],
    ["a choice that is a number", { choices: [1, 2] }, "2", 2],
    ["a choice that is an object", { choices: [{ a: 1 }] }, '{"a":1}', { a: 1 }],
    ["text beside choices", { choices: ["yes"] }, "maybe", "maybe"],
    ["a number where the schema wants one", { answerSchema: { type: "number" } }, "12", 12],
    ["an object where the schema wants one", { answerSchema: { type: "object" } }, '{"a": 1}', { a: 1 }],
    ["text where the schema takes both", { answerSchema: { type: ["number", "string"] } }, "12", "12"],
    ["text that is no JSON, for the server to refuse", { answerSchema: { type: "number" } }, "a dozen", "a dozen"],
  ])("means %s", (_what, wait, text, answer) => {
    expect(answerFromText(waitWith(wait), text)).toEqual(answer);
  });
});

describe("answerFromPrompt", () => {
  it.each<[string, JsonObject, string, unknown]>([
    ["the number of a choice", { choices: ["yes", "no"] }, "2", "no"],
    ["a choice that looks like a number", { choices: [3, 1] }, "1", 1],
    ["a number without choices", {}, "2", "2"],
    ["a number beyond the choices", { choices: ["yes"] }, "2", "2"],
    ["zero", { choices: ["yes"] }, "0", "0"],
  ])("takes %s", (_what, wait, text, answer) => {
    expect(answerFromPrompt(waitWith(wait), text)).toEqual(answer);
  });
});
