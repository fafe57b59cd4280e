import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";

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
  test("verifies, and folds to the run that stands below it", () => {
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

  test("computes what it says it computes", () => {
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

test("the document's example of a derived key is that of its digest", () => {
  const [, preimage, key] = /SHA-256 of `([^`]+)`, and the key\n`([a-z2-7]{52})`/.exec(document)!;
  const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  let rest = BigInt(`0x${createHash("sha256").update(preimage!).digest("hex")}`) << 4n;
  let encoded = "";
  for (; encoded.length < 52; rest >>= 5n) encoded = alphabet[Number(rest & 31n)] + encoded;
  expect(encoded).toBe(key);
});
