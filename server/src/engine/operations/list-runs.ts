import { rowTimeOf } from "../../store/row-behind.ts";
import type { Caller, PageRequest, RunFilter, RunOrder, RunView } from "../api.ts";
import type { Essentials } from "../essentials.ts";
import { pageLimit, pagePurpose, readFilteredPage, readPageStart, writePageStart } from "../lists.ts";
import { reportDamage } from "../report-damage.ts";
import type { RunViewer } from "../run-view.ts";

/** Lists the runs that match a filter. @throws {DomainError} PAGE_TOKEN_INVALID */
export async function listRuns(
  { store, log, viewOf }: Pick<Essentials, "store" | "log"> & { viewOf: RunViewer },
  { tenantId }: Caller,
  request: PageRequest & { filter: RunFilter; order: RunOrder; view: RunView["view"] },
): Promise<{ runs: RunView[]; nextPageToken: string }> {
  const { filter, order, view } = request;
  const purpose = pagePurpose("runs", tenantId, { filter, order });
  const { entries, next } = await readFilteredPage({
    start: readPageStart(store, purpose, request),
    limit: pageLimit(request.pageSize),
    read: async (start, limit) => {
      const page = await store.runs.list({
        tenantId,
        filter,
        order,
        limit,
        ...(start === undefined ? {} : { start }),
      });
      // A run that is deleted between the two reads is listed in its basic form.
      const full = view === "basic" ? [] : await store.runs.load(page.items.map(({ state }) => state));
      const items = page.items.map((listed, index) => ({
        listed,
        run: listed.damage === undefined ? (full[index] ?? listed) : listed,
      }));
      return { items, ...(page.next === undefined ? {} : { next: page.next }) };
    },
    // The position at which it was listed: the run may have changed since.
    startOf: ({ listed }) => ({
      time: order === "update_time_desc" ? rowTimeOf(listed) : listed.state.createTime,
      id: listed.state.runId,
    }),
    bytesOf: ({ run }) => JSON.stringify(run.state).length,
  });
  for (const { run } of entries) reportDamage(log, run.damage);
  return {
    runs: entries.map(({ run }) => viewOf(run, view)),
    nextPageToken: writePageStart(store, purpose, next),
  };
}
