/** `/healthz` of the process: whether the worker can get jobs, for a supervisor that restarts it otherwise. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import type { Worker } from "@abstractruntime/sdk";

export type HealthServer = { readonly url: string; close(): void };

/** A probe sends its few bytes at once; a connection that does not is closed. */
const LIMITS = { headersTimeout: 5_000, requestTimeout: 5_000, connectionsCheckingInterval: 1_000 };

/** Serves 200 while the worker is connected and takes jobs, else 503.
 *  @throws {Error} if the address is taken */
export async function startHealthServer(
  { host, port }: { host: string; port: number },
  worker: Pick<Worker, "state" | "isConnected" | "stats">,
): Promise<HealthServer> {
  const server: Server = createServer(LIMITS, (request, response) => {
    const isHealthz = request.url === "/healthz";
    const isRead = request.method === "GET" || request.method === "HEAD";
    const status = !isHealthz ? 404 : !isRead ? 405 : worker.state === "connected" ? 200 : 503;
    response.writeHead(status, { "content-type": "application/json" });
    const { state, isConnected } = worker;
    response.end(
      isHealthz && isRead ? JSON.stringify({ state, connected: isConnected, ...worker.stats() }) : undefined,
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const bound = server.address() as AddressInfo;
  return {
    url: `http://${bound.family === "IPv6" ? `[${bound.address}]` : bound.address}:${bound.port}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
