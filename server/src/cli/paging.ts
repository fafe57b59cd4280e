/** Reads lists page by page. */

/** The contract's largest page: large pages need fewer requests. */
export const PAGE_SIZE_MAX = 1_000;

/** One page, and the token of the next; empty if there is none. */
export type Page<Item> = { items: Item[]; nextPageToken: string };

/** Reads pages until there are `limit` items or the list ends. The token is empty if there are no more items. */
export async function readPages<Item>(
  limit: number,
  readPage: (pageSize: number, pageToken: string) => Promise<Page<Item>>,
): Promise<Page<Item>> {
  const items: Item[] = [];
  let pageToken = "";
  do {
    const page = await readPage(Math.min(limit - items.length, PAGE_SIZE_MAX), pageToken);
    items.push(...page.items);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && items.length < limit);
  return { items, nextPageToken: pageToken };
}
