/** How far events reach. */
import { enumName } from "./enum-names.ts";
import type { JsonObject } from "./json.ts";

/** How far an event reaches. */
export type Scope = "run" | "session" | "workflow" | "global";

/** The same JSON with the contract's name of its scope, if it has a scope. */
export function withScopeName(json: JsonObject): JsonObject {
  return typeof json["scope"] === "string" ? { ...json, scope: enumName("SCOPE_", json["scope"]) } : json;
}
