/** The large members of vars that a server has sent on one connection, each once: jobs that come later name them alone. The server says
 *  what is kept and what is forgotten, so a new connection begins with nothing. */
import type { Job, LargeVar } from "@abstractruntime/proto/worker_service_pb";
import { Code, ConnectError } from "@connectrpc/connect";

export type KeptVars = {
  /** Gives each of the job's large vars its text. Needs every offered job, in their order, whatever becomes of it.
   *  @throws {ConnectError} the server says what does not fit what it said before: the connection is of no use any more */
  complete(job: Job): void;
};

/** @param bytesMax what the server was told may be kept */
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
    // A copy: what came is a part of its frame, which must not be kept as a whole.
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
