import type { StoredWait } from "../store/contract/waits.ts";
import type { WaitView } from "./api.ts";

/** What a caller sees of a wait. */
export function waitView(stored: StoredWait): WaitView {
  const { runId, wait, workflowId, sessionId, labels, closing, damage } = stored;
  return {
    runId,
    wait,
    workflowId,
    labels,
    ...(sessionId === undefined ? {} : { sessionId }),
    ...(damage === undefined ? {} : { damage: damage.message }),
    ...(closing === undefined ? {} : { closeTime: closing.closeTime }),
    ...(closing?.actorId === undefined ? {} : { answeredBy: closing.actorId }),
  };
}
