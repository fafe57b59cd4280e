/** The text of a queue: the key of maps here, and what servers tell each other. */
import type { JobQueue } from "../../store/contract.ts";

/** Unique per queue: neither a tenant nor a kind contains a slash. */
export function queueText({ tenantId, kind, name }: JobQueue): string {
  return `${tenantId}/${kind}/${name}`;
}

export function queueFromText(text: string): JobQueue {
  const [tenantId = "", kind = "", ...name] = text.split("/");
  return { tenantId, kind: kind as JobQueue["kind"], name: name.join("/") };
}
