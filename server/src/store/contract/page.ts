/** Lists that are read page by page. */
import type { Instant } from "../../core/duration.ts";

/** Where a page of a list begins: after this entry. */
export type PageStart = { time: Instant; id: string };

export type Page<T> = { items: T[]; next?: PageStart };
