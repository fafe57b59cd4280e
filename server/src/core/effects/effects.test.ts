import { NodeSchema } from "@abstractruntime/proto/node_pb";
import { StepPlanSchema } from "@abstractruntime/proto/step_plan_pb";
import { expect, test } from "vitest";
import { NODES } from "../nodes/nodes.ts";
import { EFFECTS } from "./effects.ts";

function membersOf(schema: typeof StepPlanSchema | typeof NodeSchema, oneof: string): string[] {
  const members = schema.oneofs.find(({ name }) => name === oneof)?.fields ?? [];
  return members.map(({ jsonName }) => jsonName).toSorted();
}

test("every effect of the contract's step plan is listed", () => {
  expect(EFFECTS.map(({ key }) => key).toSorted()).toEqual(membersOf(StepPlanSchema, "effect"));
});

test("every kind of the contract's node is listed", () => {
  expect(NODES.map(({ key }) => key).toSorted()).toEqual(membersOf(NodeSchema, "kind"));
});
