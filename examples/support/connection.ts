/** A client that survives the server's restarts: it retries requests until they get a reply. */
import { setTimeout as sleep } from "node:timers/promises";

import { LedgerService } from "@abstractruntime/proto/ledger_service_pb";
import { RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

export type RuntimeClient = Client<typeof RuntimeService>;
export type LedgerClient = Client<typeof LedgerService>;

export type Connection = {
  runtime: RuntimeClient;
  ledger: LedgerClient;
  /** How many requests were retried so far, because the reply was lost or there was no server. */
  resent: () => number;
  close: () => void;
};

/** A live server answers in far less; a killed one breaks the connection. */
const TRY_MS_MAX = 10_000;
/** Longer than a restart takes on a slow machine. */
const PATIENCE_MS = 120_000;
const BACKOFF_MS_MIN = 50;
const BACKOFF_MS_MAX = 400;

/** Connects with gRPC. Every request of the demo has an id (run, answer, event) or only reads, so all can be
 *  retried. */
export function connect(url: string, signal: AbortSignal): Connection {
  const sessionManager = new Http2SessionManager(url);
  const transport = createGrpcTransport({ baseUrl: url, sessionManager });
  let resent = 0;
  const patient: Transport = {
    async unary(method, callSignal, timeoutMs, header, input, contextValues) {
      const givenUpAt = performance.now() + PATIENCE_MS;
      for (let tries = 1; ; tries++) {
        try {
          return await transport.unary(method, callSignal, timeoutMs ?? TRY_MS_MAX, header, input, contextValues);
        } catch (error) {
          if (!isLost(error) || performance.now() > givenUpAt) throw error;
          resent += 1;
          await sleep(Math.min(BACKOFF_MS_MIN * 2 ** (tries - 1), BACKOFF_MS_MAX), undefined, { signal });
        }
      }
    },
    stream: (...call) => transport.stream(...call),
  };
  return {
    runtime: createClient(RuntimeService, patient),
    ledger: createClient(LedgerService, patient),
    resent: () => resent,
    close: () => sessionManager.abort(),
  };
}

/** No server, a broken connection, or a server that has no database or is overloaded. */
export function isLost(error: unknown): boolean {
  if (!(error instanceof ConnectError)) return false;
  switch (error.code) {
    case Code.Unavailable:
    case Code.Aborted:
    case Code.Canceled:
    case Code.DeadlineExceeded:
    case Code.ResourceExhausted:
      return true;
    default:
      return false;
  }
}
