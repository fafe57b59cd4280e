import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";

import { draftFromSealed } from "../../server/src/core/ledger-format.ts";
import type { AnyRecord } from "../../server/src/core/records.ts";
import { readLedgers } from "../golden/ledger-file.ts";
import { verifyLedger } from "./verify-ledger.ts";

const document = readFileSync(path.join(import.meta.dirname, "../../docs/ledger-format.md"), "utf8");

/** The contents of the document's blocks of one language, in order. */
function blocks(language: string): string[] {
  const fenced = document.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)\\n\`\`\`$`, "gm"));
  return [...fenced].map((block) => block[1]!);
}

type Example = { stepRecords: { hash: string; proof: { headerJson: string } }[] };
const [ledger, run] = blocks("json").map((text) => JSON.parse(text) as unknown) as [Example, unknown];

describe("the worked example of docs/ledger-format.md", () => {
  test("verifies, and folds to the run below it", () => {
    expect(verifyLedger(ledger.stepRecords, run)).toMatchObject({
      ok: true,
      problems: [],
      notes: [],
      stateChecked: true,
    });
  });

  test("shows the header of its first record", () => {
    expect(blocks("text")).toContain(ledger.stepRecords[0]!.proof.headerJson);
  });

  test("computes what it claims to compute", () => {
    const commands = blocks("sh").map((block) =>
      /^printf '(.*)' (?:"\$header" )?\| sha256sum\n# ([0-9a-f]{64})$/.exec(block)!,
    );
    expect(commands.length).toBe(2);
    for (const [, format, digest] of commands) {
      const bytes = format!
        .replaceAll("\\\\", "\\")
        .replaceAll("\\0", "\0")
        .replace("%s", ledger.stepRecords[0]!.proof.headerJson);
      expect(createHash("sha256").update(bytes).digest("hex")).toBe(digest);
      expect(JSON.stringify(ledger)).toContain(digest);
    }
  });
});

test("the document's example of a derived key follows from its digest", () => {
  const [, preimage, key] = /SHA-256\sof\s`([^`]+)`,\sand\sthe\skey\s`([a-z2-7]{52})`/.exec(document)!;
  const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  let rest = BigInt(`0x${createHash("sha256").update(preimage!).digest("hex")}`) << 4n;
  let encoded = "";
  for (; encoded.length < 52; rest >>= 5n) encoded = alphabet[Number(rest & 31n)] + encoded;
  expect(encoded).toBe(key);
});

/** The keys in each row of the table below a heading, by the names in the row's first cell. */
function keysByName(heading: string): Map<string, { required: string[]; optional: string[] }> {
  const [, section] = document.split(`\n### ${heading}\n`);
  const names = (cell: string) => [...cell.matchAll(/`([a-z_.]+)`/g)].map(([, name]) => name!);
  const [stepKeys] = /_Step keys_\sstands\sfor\s([^.]*)\./.exec(document)!;
  const keys = (cell: string) => names(cell.replace("step keys", stepKeys));
  // Below the line of dashes.
  const [, table] = section!.split(/\n\| -[-| ]+\|\n/);
  const rows = table!.split("\n\n")[0]!.split("\n");
  return new Map(
    rows.flatMap((row) => {
      const [, first, , required, optional] = row.split("|");
      return names(first!).map((name) => [name, { required: keys(required!), optional: keys(optional!) }] as const);
    }),
  );
}

describe("the golden ledgers have the keys that the document states", () => {
  const records = readLedgers().flatMap(({ sealed }) => sealed.map((record): AnyRecord => draftFromSealed(record)));
  const waits = records.flatMap(({ body }) => body.wait ?? []);
  const byKind = keysByName("Kinds");
  const byAsks = keysByName("Waits");

  test("every kind and every wait is among them", () => {
    expect(new Set(records.map(({ kind }) => kind))).toEqual(new Set(byKind.keys()));
    expect(new Set(waits.map(({ asks }) => asks))).toEqual(new Set(byAsks.keys()));
  });

  test.each([...byKind])("%s", (name, { required, optional }) => {
    const bodies = records.filter(({ kind }) => kind === name).map(({ body }) => Object.keys(body));
    for (const keys of bodies) expect(keys).toEqual(expect.arrayContaining(required));
    expect([...required, ...optional]).toEqual(expect.arrayContaining([...new Set(bodies.flat())]));
  });

  test.each([...byAsks])("a wait that asks %s", (name, { required, optional }) => {
    const found = waits.filter(({ asks }) => asks === name).map((wait) => Object.keys(wait));
    const ofAll = ["asks", "wait_id", "create_time"];
    for (const keys of found) expect(keys).toEqual(expect.arrayContaining([...ofAll, ...required]));
    const allowed = [...ofAll, "node_id", "due_time", ...required, ...optional];
    expect(allowed).toEqual(expect.arrayContaining([...new Set(found.flat())]));
  });
});
