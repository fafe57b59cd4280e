import { StepPlanSchema } from "@abstractruntime/proto/step_plan_pb";
import { NodeSchema } from "@abstractruntime/proto/node_pb";
import { expect, test } from "vitest";
import nodes from "../nodes/nodes.ts";
import effects from "./effects.ts";

function membersOf(schema: typeof StepPlanSchema | typeof NodeSchema, oneof: string): string[] {
  const members = schema.oneofs.find(({ name }) => name === oneof)?.fields ?? [];
  return members.map(({ localName }) => localName).toSorted();
}

test("lists every effect of the contract's step plan", () => {
  expect(Object.keys(effects).toSorted()).toEqual(membersOf(StepPlanSchema, "effect"));
});

test("lists, with the other kinds, every kind of the contract's node but the handler", () => {
  const kinds = [...Object.keys(effects), ...Object.keys(nodes), "handler"];
  expect(kinds.toSorted()).toEqual(membersOf(NodeSchema, "kind"));
});
