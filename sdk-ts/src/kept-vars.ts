/** The large members of vars that a server has sent on one connection. It sends each once; later jobs only name it. The
 *  server says what is kept and what is forgotten, so a new connection starts empty. */
import type { Job, LargeVar } from "@abstractruntime/proto/worker_service_pb";
import { Code, ConnectError } from "@connectrpc/connect";

export type KeptVars = {
  /** Fills in the text of each of the job's large vars. Must be called with every offered job, in order, even if the
   *  job is not taken.
   *  @throws {ConnectError} if the server contradicts what it sent before; the connection cannot be used any more */
  complete(job: Job): void;
};

/** @param bytesMax the limit that the hello told the server */
export function createKeptVars(bytesMax: number): KeptVars {
  const kept = new Map<bigint, Uint8Array>();
  let bytes = 0;

  function textOf({ name, id, value }: LargeVar): Uint8Array {
    const known = kept.get(id);
    if (value.length === 0) {
      if (known === undefined) throw broken(`large vars ${id} (${JSON.stringify(name)}), which it has not sent`);
      return known;
    }
    if (id === 0n) return value;
    if (known !== undefined) throw broken(`large vars ${id} a second time`);
    // A copy, because the received bytes are part of a frame, and the whole frame must not stay in memory.
    const text = new Uint8Array(value);
    kept.set(id, text);
    bytes += text.length;
    return text;
  }

  return {
    complete({ largeVars, forgottenVars }) {
      for (const large of largeVars) large.value = textOf(large);
      for (const id of forgottenVars) {
        bytes -= kept.get(id)?.length ?? 0;
        kept.delete(id);
      }
      if (bytes > bytesMax) throw broken(`more large vars than the ${bytesMax} bytes that are kept`);
    },
  };
}

function broken(what: string): ConnectError {
  return new ConnectError(`the server breaks the protocol: it offers ${what}`, Code.Internal);
}
