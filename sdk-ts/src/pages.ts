/** Reads lists page by page. */
import type { CallOptions } from "./connection.ts";

export type ListOptions = CallOptions & {
  /** How many items one request returns at most, 1 to 1,000. Default 50. The list is read to its end in any case. */
  pageSize?: number | undefined;
};

type Page<Item> = { items: readonly Item[]; nextPageToken: string };

/** The items of all pages. A page is requested when the caller asks for its first item. */
export async function* itemsOf<Item>(readPage: (pageToken: string) => Promise<Page<Item>>): AsyncGenerator<Item> {
  let pageToken = "";
  do {
    const page = await readPage(pageToken);
    yield* page.items;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}
