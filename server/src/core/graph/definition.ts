/** A workflow as proto JSON, the form that is stored and digested. The types are generated from the contract. */
import type { EffectPolicyJson, NodeJson, ToolCallJson, WorkflowJson } from "./gen/types.ts";

export type NodeDefinition = NodeJson;
export type PolicyDefinition = EffectPolicyJson;
export type ToolCallDefinition = ToolCallJson;
/** Without the fields that the server sets. */
export type WorkflowDefinition = Omit<
  WorkflowJson,
  "version" | "digest" | "current" | "archived" | "createTime" | "damage"
>;
