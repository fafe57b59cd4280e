import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Schema, toJsonSchema } from "./schema.ts";

const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  peerDependencies: Record<string, string>;
};

/** A schema of a library's release that does not have the Standard JSON Schema interface yet. */
function olderSchema(vendor: string): Schema {
  return { "~standard": { version: 1, vendor, validate: () => ({ issues: [] }) } } as unknown as Schema;
}

describe("a library's release that is too old for its schemas", () => {
  it("is named with the range that package.json declares", () => {
    const range = manifest.peerDependencies["zod"]!;
    expect(() => toJsonSchema(olderSchema("zod"), "vars of workflow w")).toThrow(`it takes zod ${range}`);
  });

  it.each(["valibot", "arktype", "another"])("is named with what to do: %s", (vendor) => {
    expect(() => toJsonSchema(olderSchema(vendor), "vars")).toThrow(
      new RegExp(`^vars: this release of ${vendor} .*; .+`),
    );
  });
});
