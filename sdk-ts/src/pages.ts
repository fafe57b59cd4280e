/** How lists are read. */
import type { CallOptions } from "./connection.ts";

export type ListOptions = CallOptions & {
  /** The most items of one request, 1 to 1,000. Default 50. How many there are in all does not depend on it. */
  pageSize?: number | undefined;
};

type Page<Item> = { items: readonly Item[]; nextPageToken: string };

/** The items of all pages, each page asked for when its first item is. */
export async function* itemsOf<Item>(readPage: (pageToken: string) => Promise<Page<Item>>): AsyncGenerator<Item> {
  let pageToken = "";
  do {
    const page = await readPage(pageToken);
    yield* page.items;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}
