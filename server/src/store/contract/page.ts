/** Lists that are read page by page. */
import type { Instant } from "../../core/duration.ts";

/** Where a page of a list begins: after this entry. */
export type PageStart = { time: Instant; id: string };

/**
 * Entries, and where the next page begins if there may be one. A read looks at a bounded number of entries: with a
 * narrow filter, a page may have fewer items than asked for, or none, although more follow.
 */
export type Page<T> = { items: T[]; next?: PageStart };
