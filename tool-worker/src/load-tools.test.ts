import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import { loadTools } from "./load-tools.ts";

// Inside the package, so that modules find the SDK as a user's would.
const folder = mkdtempSync(join(import.meta.dirname, "..", ".test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SDK = 'import { tool } from "@abstractruntime/sdk";\n';
let count = 0;
function moduleOf(source: string, extension = "ts"): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `module-${(count += 1)}.${extension}`);
  writeFileSync(path, source);
  return path;
}

describe("loadTools", () => {
  it("loads modules of TypeScript and JavaScript", async () => {
    const first = moduleOf(`${SDK}const one: string = "one"; export default [tool({ name: one }, () => 1)];`);
    const second = moduleOf(
      `${SDK}export default [tool({ name: "two" }, () => 2), tool({ name: "three" }, () => 3)];`,
      "mjs",
    );
    const tools = await loadTools([first, second], ["read_file"]);
    expect(tools.map(({ name }) => name)).toEqual(["one", "two", "three"]);
    expect(await loadTools([], [])).toEqual([]);
  });

  it.each<[string, string, RegExp]>([
    ["does not parse", "export default [", /cannot be loaded: SyntaxError|cannot be loaded: .*SyntaxError/s],
    ["throws", 'throw new Error("no luck");', /cannot be loaded: Error: no luck/],
    ["throws nothing", "throw undefined;", /cannot be loaded: undefined/],
    ["imports what is not there", 'import "nowhere-to-be-found"; export default [];', /nowhere-to-be-found/],
    ["never ends loading", "await new Promise(() => {}); export default [];", /did not load within 0.3 s/],
    ["has no default export", "export const tools = [];", /default export must be an array/],
    ["has one that is no array", "export default {};", /default export must be an array/],
    [
      "has something else in it",
      `${SDK}export default [tool({ name: "a" }, () => 1), "b"];`,
      /item 1 .* not made by tool/,
    ],
    ["makes a tool wrongly", `${SDK}export default [tool({ name: "" }, () => 1)];`, /1 to 128 characters/],
    [
      "has a name twice",
      `${SDK}export default [0, 1].map(() => tool({ name: "a" }, () => 1));`,
      /"a" is already taken by another tool/,
    ],
    [
      "has a name of a built-in tool",
      `${SDK}export default [tool({ name: "read_file" }, () => 1)];`,
      /taken by a built-in tool/,
    ],
  ])("says so if a module %s", async (_what, source, message) => {
    const path = moduleOf(source);
    const error: unknown = await loadTools([path], ["read_file"], 300).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: "UsageError", message });
    expect((error as Error).message.startsWith(path)).toBe(true);
  });

  it("takes a regular file only", async () => {
    for (const path of ["/dev/zero", "/"]) {
      await expect(loadTools([path], [])).rejects.toThrow(`${path}: the module is not a regular file`);
    }
  });

  it("says so if there is no module, or two have one name", async () => {
    await expect(loadTools(["./none.ts"], [])).rejects.toThrow(/^\.\/none\.ts: the module cannot be loaded/);
    const [first, second] = [0, 1].map(() => moduleOf(`${SDK}export default [tool({ name: "a" }, () => 1)];`));
    await expect(loadTools([first!, second!], [])).rejects.toThrow(`the tool name "a" is already taken by ${first}`);
  });
});
