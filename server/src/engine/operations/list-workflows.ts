import type { Caller, PageRequest, WorkflowView } from "../api.ts";
import type { Essentials } from "../essentials.ts";
import { pageLimit, pagePurpose, readPage, readPageToken, writePageToken } from "../lists.ts";
import { workflowView } from "../workflow-view.ts";

/**
 * Lists the current version of each workflow, or the versions of one workflow.
 * @throws {DomainError} PAGE_TOKEN_INVALID
 */
export async function listWorkflows(
  { store }: Pick<Essentials, "store">,
  { tenantId }: Caller,
  request: PageRequest & { workflowId?: string; includeArchived: boolean },
): Promise<{ workflows: WorkflowView[]; nextPageToken: string }> {
  const { workflowId, includeArchived } = request;
  const purpose = pagePurpose("workflows", tenantId, { workflowId, includeArchived });
  const list = { tenantId, includeArchived, ...(workflowId === undefined ? {} : { workflowId }) };
  const { entries, next } = await readPage({
    start: readPageToken(store, purpose, request) as string | number | undefined,
    limit: pageLimit(request.pageSize),
    read: (start, limit) => store.workflows.list({ ...list, limit, ...(start === undefined ? {} : { start }) }),
    startOf: (stored) => (workflowId === undefined ? stored.workflowId : stored.version),
    bytesOf: ({ definition }) => JSON.stringify(definition).length,
  });
  return { workflows: entries.map(workflowView), nextPageToken: writePageToken(store, purpose, next) };
}
