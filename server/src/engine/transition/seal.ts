import { randomFillSync } from "node:crypto";
import {
  encodeHeader,
  partDigest,
  recordHash,
  SALT_BYTES,
  type SealedRecord,
  type SealedPart,
} from "../../core/ledger-format.ts";
import type { StepRecordDraft } from "../../core/records.ts";
import { jsonText } from "../../core/json/json-text.ts";

/** Random bytes are drawn in blocks: a system call for each salt would cost more than the hash. */
const POOL_BYTES = 4096;
let pool = Buffer.alloc(0);
let used = 0;

function nextSalt(): Uint8Array {
  if (used + SALT_BYTES > pool.length) {
    pool = randomFillSync(Buffer.alloc(POOL_BYTES));
    used = 0;
  }
  used += SALT_BYTES;
  return pool.subarray(used - SALT_BYTES, used);
}

/** Seals records in order: salts and digests their parts, and links each record to the previous one. */
export function sealRecords(
  drafts: readonly StepRecordDraft[],
  previousHash: string,
): { sealed: SealedRecord[]; headHash: string } {
  let headHash = previousHash;
  const sealed = drafts.map((draft): SealedRecord => {
    const parts: SealedPart[] = [{ name: "body", text: jsonText(draft.body), salt: nextSalt() }];
    if (draft.given !== undefined) parts.push({ name: "given", text: draft.given, salt: nextSalt() });
    const digests: Record<string, string> = {};
    for (const { name, text, salt } of parts) digests[name] = partDigest(salt, text);
    const header = encodeHeader(draft, digests, headHash);
    headHash = recordHash(header);
    return { seq: draft.seq, header, hash: headHash, parts };
  });
  return { sealed, headHash };
}
