/** How a client in Node reaches one address: Connect over HTTP/2, which a proxy of any kind understands and which has room for every
 *  problem of a refusal. package.json gives browsers `transport.browser.ts` in its place. */
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";

/** How often a silent connection with open calls is asked whether it lives, and how long its answer may take. */
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

/** What the environment says about where servers are. */
export function addressesOfEnvironment(): string | undefined {
  return process.env["ABSTRACTRUNTIME_URL"];
}
