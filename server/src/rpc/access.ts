/**
 * Decides which requests are admitted: the guard against web pages. A page from another origin may neither read nor
 * send anything unless its origin is allowed. A page whose host name was rebound to this machine (DNS rebinding) is
 * refused by that name.
 */
import { DomainError } from "../core/errors.ts";
import { cors } from "@connectrpc/connect";

export type AccessRules = {
  /** Host names, lower-case and without ports, that the server serves besides loopback. */
  hosts: readonly string[];
  /** Origins such as `https://example.com` whose pages may call. */
  origins: readonly string[];
};

export type AccessRequest = {
  /** All values of `:authority` and `Host` that were sent. */
  authorities: readonly string[];
  scheme: "http" | "https";
  origin: string | undefined;
};

/** One day, so that pages ask once. Browsers cap it lower. */
const PREFLIGHT_SECONDS = 86_400;

/** @throws {DomainError} HOST_REFUSED, ORIGIN_REFUSED */
export function assertAccess(rules: AccessRules, { authorities, scheme, origin }: AccessRequest): void {
  if (authorities.length === 0) throw hostRefused("");
  for (const authority of authorities) {
    const host = hostOf(authority);
    if (host === undefined || !(isLoopbackHost(host) || rules.hosts.includes(host))) throw hostRefused(authority);
  }
  if (origin === undefined || rules.origins.includes(origin)) return;
  if (authorities.every((authority) => origin === `${scheme}://${authority.toLowerCase()}`)) return;
  throw new DomainError("ORIGIN_REFUSED", "pages from this origin may not call: add it to ABSTRACTRUNTIME_ORIGINS", {
    metadata: { origin },
  });
}

function hostRefused(host: string): DomainError {
  const message = "the server does not serve this host: add it to ABSTRACTRUNTIME_HOSTS";
  return new DomainError("HOST_REFUSED", message, { metadata: { host } });
}

/** The host of `host`, `host:port`, `[::1]:port`: lower-case, without brackets; undefined if it is malformed. */
export function hostOf(authority: string): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{1,5})?$/.exec(authority.toLowerCase());
  return match?.[1] ?? match?.[2];
}

/** Whether a host, without brackets, is this machine as seen from itself: 127.0.0.0/8, ::1, localhost. */
export function isLoopbackHost(host: string): boolean {
  return (
    host === "localhost" || host === "::1" || /^127(?:\.(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}$/.test(host)
  );
}

/** Headers that let the page of an allowed origin read a reply. */
export function corsHeaders(origin: string): Record<string, string> {
  return {
    "access-control-allow-origin": origin,
    "access-control-expose-headers": EXPOSED_HEADERS,
    vary: "origin",
  };
}

/** Headers that answer an allowed origin's preflight. */
export function preflightHeaders(origin: string): Record<string, string> {
  return {
    ...corsHeaders(origin),
    "access-control-allow-methods": "POST",
    "access-control-allow-headers": [...cors.allowedHeaders, "Authorization"].join(", "),
    "access-control-max-age": String(PREFLIGHT_SECONDS),
  };
}

const EXPOSED_HEADERS = cors.exposedHeaders.join(", ");
