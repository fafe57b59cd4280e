/** Reaches one address from Node: Connect over HTTP/2, which every proxy understands and which has room for every
 *  problem of a refusal. For browsers, package.json replaces this file by `transport.browser.ts`. */
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";

/** How often a silent connection with open calls is pinged, and how long the answer may take. */
const PING_INTERVAL_MS = 10_000;
const PING_TIMEOUT_MS = 5_000;

export type AddressTransport = { transport: Transport; close(): void };

export function createAddressTransport(address: string): AddressTransport {
  const sessionManager = new Http2SessionManager(address, {
    pingIntervalMs: PING_INTERVAL_MS,
    pingTimeoutMs: PING_TIMEOUT_MS,
  });
  return {
    transport: createConnectTransport({ baseUrl: address, httpVersion: "2", sessionManager }),
    close: () => sessionManager.abort(),
  };
}

/** The servers' addresses in the environment. */
export function addressesOfEnvironment(): string | undefined {
  return process.env["ABSTRACTRUNTIME_URL"];
}
