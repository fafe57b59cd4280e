import type { Caller, PageRequest, WorkerView } from "../api.ts";
import type { Essentials } from "../essentials.ts";
import { pageLimit, pagePurpose, readPage, readPageToken, writePageToken } from "../lists.ts";
import { defined } from "../../core/defined.ts";

/**
 * Lists the workers that are connected to any server. With `tool`, lists those that serve it.
 * @throws {DomainError} PAGE_TOKEN_INVALID
 */
export async function listWorkers(
  { store }: Pick<Essentials, "store">,
  { tenantId }: Caller,
  request: PageRequest & { tool?: string },
): Promise<{ workers: WorkerView[]; nextPageToken: string }> {
  const { tool } = request;
  const purpose = pagePurpose("workers", tenantId, { tool });
  const { entries, next } = await readPage({
    start: readPageToken(store, purpose, request) as string | undefined,
    limit: pageLimit(request.pageSize),
    read: (start, limit) =>
      store.workers.list({
        tenantId,
        limit,
        ...defined({ tool, start }),
      }),
    startOf: ({ workerSessionId }) => workerSessionId,
    bytesOf: (worker) => JSON.stringify(worker).length,
  });
  return { workers: entries, nextPageToken: writePageToken(store, purpose, next) };
}
