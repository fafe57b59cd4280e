/** A golden ledger: sealed records as a release stored them, and the state to which they folded then. */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Json } from "../../server/src/core/json/json.ts";
import { partOf, type SealedRecord } from "../../server/src/core/ledger-format.ts";
import type { RunState } from "../../server/src/core/run.ts";

export const GOLDEN_FOLDER = import.meta.dirname;

type StoredRecord = {
  header: string;
  hash: string;
  body: string;
  body_salt: string;
  given?: string;
  given_salt?: string;
};
/** Salts are lower-case hex. */
export type LedgerFile = { about: string; records: StoredRecord[]; state: Json };

export function toFile(about: string, sealed: readonly SealedRecord[], state: RunState): LedgerFile {
  const records = sealed.map((record) => {
    const [body, given] = [partOf(record, "body"), partOf(record, "given")];
    return {
      header: record.header,
      hash: record.hash,
      body: body!.text,
      body_salt: hexOf(body!.salt),
      ...(given === undefined ? {} : { given: given.text, given_salt: hexOf(given.salt) }),
    };
  });
  return { about, records, state: state as unknown as Json };
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

export function readLedgers(): { name: string; sealed: SealedRecord[]; state: Json }[] {
  const names = readdirSync(GOLDEN_FOLDER).filter((name) => name.endsWith(".json"));
  return names.toSorted().map((name) => {
    const file = JSON.parse(readFileSync(path.join(GOLDEN_FOLDER, name), "utf8")) as LedgerFile;
    const sealed = file.records.map(({ header, hash, body, body_salt, given, given_salt }, index) => ({
      seq: index + 1,
      header,
      hash,
      parts: [
        { name: "body", text: body, salt: Buffer.from(body_salt, "hex") },
        ...(given === undefined ? [] : [{ name: "given", text: given, salt: Buffer.from(given_salt!, "hex") }]),
      ],
    }));
    return { name, sealed, state: file.state };
  });
}
