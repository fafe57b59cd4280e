import { hash } from "node:crypto";

/** Ids of the contract: of runs, nodes, workflows, sessions, actors, waits, events and labels. */
export const ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

const BASE32_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

/** The two characters of each 10 bits. */
const BASE32_PAIRS = Array.from(
  { length: 1_024 },
  (_, pair) => BASE32_ALPHABET[pair >>> 5]! + BASE32_ALPHABET[pair & 31]!,
);

/** Encodes bytes as lower-case RFC 4648 base32 without padding. */
export function base32(bytes: Uint8Array): string {
  let text = "";
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    if (bits >= 10) {
      bits -= 10;
      text += BASE32_PAIRS[(buffer >>> bits) & 1_023]!;
    }
    buffer &= (1 << bits) - 1;
  }
  if (bits >= 5) {
    bits -= 5;
    text += BASE32_ALPHABET[(buffer >>> bits) & 31]!;
  }
  if (bits > 0) text += BASE32_ALPHABET[(buffer << (5 - bits)) & 31]!;
  return text;
}

/** Hashes the parts. Each part is preceded by its length, so that different lists never hash the same bytes. */
function digestParts(parts: readonly (string | number)[]): Buffer {
  let text = "";
  for (const part of parts) {
    const piece = String(part);
    text += `${Buffer.byteLength(piece)}:${piece}`;
  }
  return hash("sha256", text, "buffer");
}

/** The parts of an idempotency key. Together they name one call of a run, so that every attempt has the same key. */
export type IdempotencyKeyParts = {
  tenantId: string;
  runId: string;
  epoch: number;
  nodeId: string;
  /** The seq of the record that states the effect's intent. */
  seq: number;
  /** The position of the call in its effect, from 0. */
  ordinal: number;
};

/** The key that makes an effect safe to repeat: base32(SHA-256(tenant, run, epoch, node, seq, ordinal)), 52
 *  characters */
export function idempotencyKey(parts: IdempotencyKeyParts): string {
  const { tenantId, runId, epoch, nodeId, seq, ordinal } = parts;
  return base32(digestParts([tenantId, runId, epoch, nodeId, seq, ordinal]));
}

/** The id of the wait that record `seq` of a run opens: 26 characters, the same on every server. */
export function waitIdOf(tenantId: string, runId: string, epoch: number, seq: number): string {
  return base32(digestParts(["wait", tenantId, runId, epoch, seq])).slice(0, 26);
}
