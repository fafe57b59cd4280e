/** Results that the server has not acknowledged. They outlive connections, and are sent on each connection until they
 *  are acknowledged. */
import { type JobResult, JobResultSchema } from "@abstractruntime/proto/worker_service_pb";
import { toBinary } from "@bufbuild/protobuf";

export type ResultStore = {
  add(result: JobResult): void;
  /** The server has accepted or refused the result. */
  acknowledge(token: string): void;
  has(token: string): boolean;
  /** For a new connection: every result has to be sent again. */
  sendAllAgain(): void;
  /** Results to send in one frame, each once per connection; empty if there is nothing to send. */
  takeBatch(): JobResult[];
  tokens(): Iterable<string>;
  readonly size: number;
  /** The approximate bytes of all results in their wire form. */
  readonly bytes: number;
};

/** By the contract. */
const BATCH_RESULTS_MAX = 1_000;
/** A frame has at most 3 MiB. A result larger than this gets a frame of its own, so that small results do not wait for
 *  it. */
const BATCH_BYTES_MAX = 1024 * 1024;

export function createResultStore(): ResultStore {
  const unacknowledged = new Map<string, { result: JobResult; bytes: number }>();
  let unsent = new Set<string>();
  let bytes = 0;
  return {
    add(result) {
      const size = sizeOf(result);
      unacknowledged.set(result.token, { result, bytes: size });
      unsent.add(result.token);
      bytes += size;
    },
    acknowledge(token) {
      bytes -= unacknowledged.get(token)?.bytes ?? 0;
      unacknowledged.delete(token);
      unsent.delete(token);
    },
    has: (token) => unacknowledged.has(token),
    sendAllAgain() {
      unsent = new Set(unacknowledged.keys());
    },
    takeBatch() {
      const batch: JobResult[] = [];
      let batchBytes = 0;
      for (const token of unsent) {
        const entry = unacknowledged.get(token);
        if (entry === undefined) continue;
        batchBytes += entry.bytes;
        if (batch.length === BATCH_RESULTS_MAX || (batch.length > 0 && batchBytes > BATCH_BYTES_MAX)) break;
        batch.push(entry.result);
        unsent.delete(token);
      }
      return batch;
    },
    tokens: () => unacknowledged.keys(),
    get size() {
      return unacknowledged.size;
    },
    get bytes() {
      return bytes;
    },
  };
}

/** The tags and lengths around an output and its token. */
const OUTPUT_BYTES_BESIDE = 16;

/** The approximate bytes of a result in its wire form. Outputs, which are nearly all results, are not serialized for
 *  this. */
function sizeOf(result: JobResult): number {
  const { token, outcome } = result;
  if (outcome.case !== "output") return toBinary(JobResultSchema, result).length;
  return token.length + outcome.value.length + OUTPUT_BYTES_BESIDE;
}
