/** Reaches one address from a browser: Connect over fetch. */
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";

type AddressTransport = { transport: Transport; close(): void };

export function createAddressTransport(address: string): AddressTransport {
  return {
    transport: createConnectTransport({ baseUrl: address, useBinaryFormat: true }),
    // The browser owns the connections.
    close: () => undefined,
  };
}

/** A page has no environment variables. */
export function addressesOfEnvironment(): string | undefined {
  return undefined;
}
