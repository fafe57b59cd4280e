/** A workflow as its proto JSON says it: as it is stored and digested. The types are generated from the contract. */
import type { EffectPolicyJson, NodeJson, ToolCallJson, WorkflowJson } from "./gen/types.ts";

export type NodeDefinition = NodeJson;
export type PolicyDefinition = EffectPolicyJson;
export type ToolCallDefinition = ToolCallJson;
/** Without what the server sets. */
export type WorkflowDefinition = Omit<WorkflowJson, "version" | "digest" | "current" | "archived" | "createTime">;
