import type { WorkerFrame } from "../../api.ts";
import { CREDIT_MAX, type Session } from "../session.ts";
import type { WorkerParts } from "./parts.ts";
import { takeResult } from "./results.ts";
import { leaveSession } from "./session-life.ts";
import { noteDrain } from "./worker-list.ts";

/** Does what a frame of the session's worker asks for. */
export function receiveFrame(parts: WorkerParts, session: Session, frame: WorkerFrame): void {
  const { leases, dispatcher } = parts;
  switch (frame.type) {
    case "credit":
      session.credit = Math.min(session.credit + frame.jobs, CREDIT_MAX - session.jobs.size);
      dispatcher.pump();
      break;
    case "accept":
      leases.accept(session, frame.tokens);
      break;
    case "heartbeat":
      leases.heartbeat(session, frame.tokens);
      break;
    case "result":
      for (const result of frame.results) takeResult(parts, session, result);
      break;
    case "drain":
      session.isDraining = true;
      noteDrain(parts, session);
      break;
    case "goodbye": {
      const { link } = session;
      leaveSession(parts, session, 0);
      link?.end();
      break;
    }
    case "pong":
      break;
  }
}
