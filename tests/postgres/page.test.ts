/** docs/postgres.md, "What is needed": each section names its tests, or rather they name it. */
import { globSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const page = readFileSync("docs/postgres.md", "utf8");
const sections = [...page.matchAll(/^## (.+)$/gm)].map(([, title]) => title!);

test("Each section of the page is named by a file of tests", () => {
  const tests = globSync(["tests/**/*.test.ts", "server/src/**/*.test.ts"]).map((file) => readFileSync(file, "utf8"));
  const claims = tests.flatMap((text) =>
    [...text.matchAll(/docs\/postgres\.md, ([^:.]*)/g)].map(([, named]) => named!),
  );
  const named = new Set(claims.flatMap((claim) => [...claim.matchAll(/"([^"]+)"/g)].map(([, title]) => title!)));
  expect(sections.filter((title) => !named.has(title))).toEqual([]);
  // A section that was renamed.
  expect([...named].filter((title) => !sections.includes(title))).toEqual([]);
});
