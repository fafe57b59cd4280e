/** Pages: a page token is where the next page begins, bound to the request that it belongs to. */
import type { Instant } from "../core/duration.ts";
import { canonicalJson, type Json } from "../core/json.ts";
import type { PageStart, Store } from "../store/contract.ts";
import type { PageRequest } from "./api.ts";
import { readToken, writeToken } from "./token.ts";

const PAGE_SIZE_DEFAULT = 50;
const PAGE_SIZE_MAX = 1_000;

export function pageLimit(pageSize: number): number {
  return pageSize === 0 ? PAGE_SIZE_DEFAULT : Math.min(pageSize, PAGE_SIZE_MAX);
}

/** Binds a page token to a list, its tenant and its filter. */
export function pagePurpose(list: string, tenantId: string, filter: object): string {
  return `page/${list}/${tenantId}/${canonicalJson(JSON.parse(JSON.stringify(filter)) as Json)}`;
}

/** @throws {DomainError} PAGE_TOKEN_INVALID */
export function readPageToken<T extends Json>(store: Store, purpose: string, request: PageRequest): T | undefined {
  if (request.pageToken === "") return undefined;
  return readToken(store.tokenKey, purpose, request.pageToken, "PAGE_TOKEN_INVALID") as T;
}

export function writePageToken(store: Store, purpose: string, next: Json | undefined): string {
  return next === undefined ? "" : writeToken(store.tokenKey, purpose, next);
}

/** Where a list ordered by time goes on. */
export function readPageStart(store: Store, purpose: string, request: PageRequest): { start?: PageStart } {
  const token = readPageToken<[string, string]>(store, purpose, request);
  return token === undefined ? {} : { start: { time: token[0] as Instant, id: token[1] } };
}

export function writePageStart(store: Store, purpose: string, next: PageStart | undefined): string {
  return writePageToken(store, purpose, next && [next.time, next.id]);
}
