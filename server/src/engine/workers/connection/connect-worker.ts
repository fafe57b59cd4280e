/**
 * A worker's stream: hello, frames, end. The session outlives its stream for a while, so that a worker that comes back
 * with the same session id, at this server or another, goes on with the jobs that it has.
 */
import type { SessionHello } from "../session.ts";
import type { Caller, WorkerConnection, WorkerLink } from "../../api.ts";
import { sessionText } from "../pool.ts";
import { adoptLeases } from "./adopt-leases.ts";
import { checkHello } from "./check-hello.ts";
import { receiveFrame } from "./frames.ts";
import type { WorkerParts } from "./parts.ts";
import { createSessionLink } from "./session-link.ts";
import { leaveSession, openSession, sessionReplaced } from "./session-life.ts";
import { saveWorker } from "./worker-list.ts";

/**
 * Begins a session for the hello, or continues the one with its session id.
 * @throws {DomainError} REQUEST_INVALID with the path of each invalid field; WORKER_SESSION_REPLACED
 */
export async function connectWorker(
  parts: WorkerParts,
  { tenantId }: Caller,
  hello: SessionHello,
  wire: WorkerLink,
): Promise<WorkerConnection> {
  const { pool, dispatcher, leases } = parts;
  const { pingMs, silenceMs, acceptMs, reconnectMs } = pool.context.settings;
  const { workerSessionId, heldTokens } = hello;
  await checkHello(hello);
  const link = createSessionLink(wire);
  const session = openSession(pool, tenantId, hello, link);
  // The hello counts as the heartbeat that the worker could not send while it was away.
  leases.heartbeat(
    session,
    heldTokens.filter((token) => session.jobs.has(token)),
  );
  let isClosed = false;

  const connection: WorkerConnection = {
    receive(frame) {
      if (isClosed || session.link !== link) return;
      session.heardAt = pool.nowMs();
      receiveFrame(parts, session, frame);
      if (session.isQuiet) {
        session.isQuiet = false;
        dispatcher.noteSession(session);
      }
      if (link.hasRoomAgain()) dispatcher.pump();
    },
    close() {
      if (isClosed) return;
      isClosed = true;
      if (session.link === link) leaveSession(parts, session, reconnectMs);
    },
  };
  try {
    await saveWorker(parts, session);
    await adoptLeases(parts, session, new Set(heldTokens));
  } catch (error) {
    connection.close();
    throw error;
  }
  const isCurrent = pool.sessions.get(sessionText(tenantId, workerSessionId)) === session && session.link === link;
  if (!isCurrent) throw sessionReplaced(workerSessionId);
  link.welcome({ type: "welcome", serverId: parts.serverId(), pingMs, silenceMs, acceptMs });
  // The worker has accepted these jobs, whether or not its frame arrived. It also learns what happened to their runs
  // meanwhile.
  leases.accept(session, heldTokens);
  leases.readRunsOf(session);
  dispatcher.noteSession(session);
  return connection;
}
