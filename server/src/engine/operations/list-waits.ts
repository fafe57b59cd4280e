import type { Caller, PageRequest, WaitFilter, WaitView } from "../api.ts";
import type { Essentials } from "../essentials.ts";
import { pageLimit, pagePurpose, readFilteredPage, readPageStart, writePageStart } from "../lists.ts";
import { reportDamage } from "../report-damage.ts";
import { waitView } from "../wait-view.ts";

/**
 * Lists the open waits that match a filter. Without reasons it lists those for people.
 * @throws {DomainError} PAGE_TOKEN_INVALID
 */
export async function listWaits(
  { store, log }: Pick<Essentials, "store" | "log">,
  { tenantId }: Caller,
  request: PageRequest & { filter: WaitFilter },
): Promise<{ waits: WaitView[]; nextPageToken: string }> {
  const filter = request.filter.reasons.length > 0 ? request.filter : { ...request.filter, reasons: ["user" as const] };
  const purpose = pagePurpose("waits", tenantId, filter);
  const { entries, next } = await readFilteredPage({
    start: readPageStart(store, purpose, request),
    limit: pageLimit(request.pageSize),
    read: (start, limit) => store.waits.list({ tenantId, filter, limit, ...(start === undefined ? {} : { start }) }),
    startOf: ({ wait }) => ({ time: wait.create_time, id: wait.wait_id }),
    bytesOf: ({ wait }) => JSON.stringify(wait).length,
  });
  for (const { damage } of entries) reportDamage(log, damage);
  return { waits: entries.map(waitView), nextPageToken: writePageStart(store, purpose, next) };
}
