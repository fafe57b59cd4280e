/** The list of connected workers, as every server can read it. */
import { DomainError } from "../../../core/errors.ts";
import { sessionText, type WorkerPool } from "../pool.ts";
import type { Session } from "../session.ts";
import type { WorkerParts } from "./parts.ts";

/** Puts the worker on the list, or updates its entry. */
export async function saveWorker({ pool, serverId }: WorkerParts, session: Session): Promise<void> {
  const { tenantId, workerSessionId, hello, isDraining } = session;
  const { tools, workflows, customTypes, name, actorId } = hello;
  const worker = {
    tenantId,
    workerSessionId,
    serverId: serverId(),
    name,
    tools,
    workflows,
    customTypes,
    draining: isDraining,
    ...(actorId === undefined ? {} : { actorId }),
  };
  await changeList(pool, session, () => pool.context.store.workers.save(worker));
}

/** Notes in the background that the worker is draining. */
export function noteDrain(parts: WorkerParts, session: Session): void {
  saveWorker(parts, session).catch((error: unknown) => {
    if (!(error instanceof DomainError)) parts.pool.context.log.error({ err: error }, "noting a drain failed");
  });
}

/** Takes the worker off the list in the background. */
export function removeWorker({ pool, serverId }: WorkerParts, session: Session): void {
  const { tenantId, workerSessionId } = session;
  const worker = { tenantId, workerSessionId, serverId: serverId() };
  changeList(pool, session, () => pool.context.store.workers.remove(worker)).catch((error: unknown) => {
    if (!(error instanceof DomainError)) pool.context.log.error({ err: error }, "taking a worker off the list failed");
  });
}

/** Changes the list after all earlier changes for the same session, so that a goodbye does not overtake them. */
async function changeList(
  { listChanges }: WorkerPool,
  { tenantId, workerSessionId }: Session,
  change: () => Promise<void>,
): Promise<void> {
  const text = sessionText(tenantId, workerSessionId);
  const changed = (listChanges.get(text) ?? Promise.resolve()).then(change);
  const finished = changed.catch(() => undefined);
  listChanges.set(text, finished);
  try {
    await changed;
  } finally {
    if (listChanges.get(text) === finished) listChanges.delete(text);
  }
}
