/** gRPC health checking v1 (https://github.com/grpc/grpc/blob/master/doc/health-checking.md): all services share one
 *  status. */
import {
  HealthCheckResponse_ServingStatus as Status,
  type Health,
} from "@abstractruntime/proto/grpc/health/v1/health_pb";
import { LedgerService } from "@abstractruntime/proto/ledger_service_pb";
import { RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import { WorkerService } from "@abstractruntime/proto/worker_service_pb";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { untilAborted } from "./streams.ts";

/** Whether the server can do its work, with a callback for every change, and what is wrong. */
export type Serving = {
  isServing: () => boolean;
  problems: () => { kind: string; message: string; since?: string }[];
  onServingChange: (callback: (serving: boolean) => void) => () => void;
};

/** "" is the server as a whole. */
const SERVICES: readonly string[] = ["", RuntimeService.typeName, LedgerService.typeName, WorkerService.typeName];

export function createHealth(serving: Serving): ServiceImpl<typeof Health> {
  const currentStatus = () => (serving.isServing() ? Status.SERVING : Status.NOT_SERVING);
  return {
    check({ service }) {
      if (!SERVICES.includes(service)) throw new ConnectError(`unknown service ${service}`, Code.NotFound);
      return { status: currentStatus() };
    },

    list() {
      return { statuses: Object.fromEntries(SERVICES.map((service) => [service, { status: currentStatus() }])) };
    },

    async *watch({ service }, context) {
      const isKnown = SERVICES.includes(service);
      for await (const status of untilAborted(statuses(serving, currentStatus, context.signal), context.signal)) {
        yield { status: isKnown ? status : Status.SERVICE_UNKNOWN };
      }
    },
  };
}

/** Yields the current status and each change. If changes come faster than they are read, only the last is yielded. */
async function* statuses<T>(serving: Serving, current: () => T, signal: AbortSignal): AsyncGenerator<T> {
  let wake = Promise.withResolvers<void>();
  const unsubscribe = serving.onServingChange(() => wake.resolve());
  signal.addEventListener("abort", () => wake.resolve(), { once: true });
  try {
    let last: T | undefined;
    while (!signal.aborted) {
      wake = Promise.withResolvers<void>();
      const status = current();
      if (status !== last) yield status;
      last = status;
      await wake.promise;
    }
  } finally {
    unsubscribe();
  }
}
