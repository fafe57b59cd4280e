/** A golden ledger: sealed records as a release stored them, and the state that they folded to then. */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Json } from "../../server/src/core/json.ts";
import type { SealedRecord } from "../../server/src/core/ledger-format.ts";
import type { RunState } from "../../server/src/core/run.ts";

export const GOLDEN_FOLDER = import.meta.dirname;

type StoredRecord = { header: string; hash: string; body: string; body_salt: string; given?: string; given_salt?: string };
/** Salts are lower-case hex. */
export type LedgerFile = { about: string; records: StoredRecord[]; state: Json };

export function toFile(about: string, sealed: readonly SealedRecord[], state: RunState): LedgerFile {
  const records = sealed.map(({ header, hash, body, bodySalt, given, givenSalt }) => ({
    header,
    hash,
    body,
    body_salt: Buffer.from(bodySalt).toString("hex"),
    ...(givenSalt === undefined ? {} : { given: given!, given_salt: Buffer.from(givenSalt).toString("hex") }),
  }));
  return { about, records, state: state as unknown as Json };
}

export function readLedgers(): { name: string; sealed: SealedRecord[]; state: Json }[] {
  const names = readdirSync(GOLDEN_FOLDER).filter((name) => name.endsWith(".json"));
  return names.toSorted().map((name) => {
    const file = JSON.parse(readFileSync(path.join(GOLDEN_FOLDER, name), "utf8")) as LedgerFile;
    const sealed = file.records.map(({ header, hash, body, body_salt, given, given_salt }, index) => ({
      seq: index + 1,
      header,
      hash,
      body,
      bodySalt: Buffer.from(body_salt, "hex"),
      ...(given === undefined ? {} : { given, givenSalt: Buffer.from(given_salt!, "hex") }),
    }));
    return { name, sealed, state: file.state };
  });
}
