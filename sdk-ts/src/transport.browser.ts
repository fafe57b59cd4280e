/** How a client in a browser reaches one address: Connect by fetch. */
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";

type AddressTransport = { transport: Transport; close(): void };

export function createAddressTransport(address: string): AddressTransport {
  return {
    transport: createConnectTransport({ baseUrl: address, useBinaryFormat: true }),
    // The browser keeps the connections.
    close: () => undefined,
  };
}

/** A page has no environment. */
export function addressesOfEnvironment(): string | undefined {
  return undefined;
}
