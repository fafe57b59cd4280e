/** Pages: a page token says where the next page begins, and is valid only for the request that it belongs to. */
import type { Instant } from "../core/duration.ts";
import { canonicalJson, type Json } from "../core/json/json.ts";
import type { PageStart } from "../store/contract/page.ts";
import type { Store } from "../store/contract/store.ts";
import type { PageRequest } from "./api.ts";
import { readToken, writeToken } from "./token.ts";

const PAGE_SIZE_DEFAULT = 50;
const PAGE_SIZE_MAX = 1_000;

export function pageLimit(pageSize: number): number {
  return pageSize === 0 ? PAGE_SIZE_DEFAULT : Math.min(pageSize, PAGE_SIZE_MAX);
}

/** Ties a page token to a list, its tenant and its filter. */
export function pagePurpose(list: string, tenantId: string, filter: object): string {
  return `page/${list}/${tenantId}/${canonicalJson(JSON.parse(JSON.stringify(filter)) as Json)}`;
}

/** @throws {DomainError} PAGE_TOKEN_INVALID */
export function readPageToken(store: Store, purpose: string, request: PageRequest): Json | undefined {
  if (request.pageToken === "") return undefined;
  return readToken(store.tokenKey, purpose, request.pageToken, "PAGE_TOKEN_INVALID");
}

export function writePageToken(store: Store, purpose: string, next: Json | undefined): string {
  return next === undefined ? "" : writeToken(store.tokenKey, purpose, next);
}

/** The position after which a list ordered by time continues. */
export function readPageStart(store: Store, purpose: string, request: PageRequest): PageStart | undefined {
  const token = readPageToken(store, purpose, request) as [string, string] | undefined;
  return token && { time: token[0] as Instant, id: token[1] };
}

export function writePageStart(store: Store, purpose: string, next: PageStart | undefined): string {
  return writePageToken(store, purpose, next && [next.time, next.id]);
}

/** The most bytes of text in one page: with the copies in protobuf and proofs, a reply stays below 3 MiB. */
const PAGE_BYTES_MAX = 512 * 1024;
/** Entries read at once. Each may have a payload of 1 MiB, so a full page is never read in one statement. */
const CHUNK = 25;

/**
 * Reads a page of a list that is filtered, in chunks: until it has `limit` entries or about 512 KiB, or the store has
 * looked at as many entries as it looks at in one read. Then the page may have no entry.
 */
export async function readFilteredPage<T, S>(request: {
  start: S | undefined;
  limit: number;
  read: (start: S | undefined, limit: number) => Promise<{ items: readonly T[]; next?: S }>;
  startOf: (entry: T) => S;
  bytesOf: (entry: T) => number;
}): Promise<{ entries: T[]; next?: S }> {
  const { limit, read, startOf, bytesOf } = request;
  const entries: T[] = [];
  let bytes = 0;
  let { start } = request;
  let chunkWanted = CHUNK;
  for (;;) {
    const chunkMax = Math.min(limit - entries.length, chunkWanted);
    const { items, next } = await read(start, chunkMax);
    for (const entry of items) {
      bytes += bytesOf(entry);
      if (entries.length > 0 && bytes > PAGE_BYTES_MAX) return { entries, next: startOf(entries.at(-1)!) };
      entries.push(entry);
    }
    if (next === undefined) return { entries };
    if (entries.length === limit || items.length < chunkMax) return { entries, next };
    start = next;
    chunkWanted = nextChunk(entries.length, bytes);
  }
}

/** Entries of the next chunk, judged by those before: after large entries it has fewer. */
function nextChunk(entries: number, bytes: number): number {
  const entriesLeft = Math.ceil((PAGE_BYTES_MAX - bytes) / (bytes / entries));
  return Math.max(1, Math.min(CHUNK, entriesLeft));
}

/**
 * Reads a page in chunks, until it has `limit` entries or about 512 KiB, and at least one entry.
 * @param startOf returns the position after an entry
 */
export async function readPage<T, S>(request: {
  start: S | undefined;
  limit: number;
  read: (start: S | undefined, limit: number) => Promise<readonly T[]>;
  startOf: (entry: T) => S;
  bytesOf: (entry: T) => number;
  /** Entries of the first chunk, if fewer than usual. */
  chunk?: number;
}): Promise<{ entries: T[]; next?: S }> {
  const { limit, read, startOf, bytesOf } = request;
  const entries: T[] = [];
  let bytes = 0;
  let { start, chunk: chunkWanted = CHUNK } = request;
  for (;;) {
    // One more entry than requested shows whether there is a next page.
    const chunkMax = Math.min(limit - entries.length + 1, chunkWanted);
    const chunk = await read(start, chunkMax);
    for (const entry of chunk) {
      bytes += bytesOf(entry);
      const isFull = entries.length === limit || (entries.length > 0 && bytes > PAGE_BYTES_MAX);
      if (isFull) return { entries, next: startOf(entries.at(-1)!) };
      entries.push(entry);
    }
    if (chunk.length < chunkMax) return { entries };
    start = startOf(entries.at(-1)!);
    chunkWanted = nextChunk(entries.length, bytes);
  }
}
