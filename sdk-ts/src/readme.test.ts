/** README.md's programs, run exactly as they are written there. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { useServer } from "../../tests/conformance/server.ts";

const server = useServer();
const PACKAGE = new URL("../", import.meta.url);

test.each([
  ["A run that asks a person", "Pay 120?\n{ paid: true }\n"],
  ["Code of your own: handlers and tools", "{ long: true }\n"],
])("%s", async (heading, output) => {
  const program = await programOf(heading);
  // Within the package, so that its own name and its dependencies are found.
  const folder = await mkdtemp(path.join(fileURLToPath(PACKAGE), ".readme-"));
  try {
    const file = path.join(folder, "program.ts");
    await writeFile(file, program);
    const env = { ...process.env, ABSTRACTRUNTIME_URL: server.url };
    const { stdout } = await promisify(execFile)(process.execPath, [file], { env, timeout: 60_000 });
    expect(stdout).toBe(output);
  } finally {
    await rm(folder, { recursive: true });
  }
});

async function programOf(heading: string): Promise<string> {
  const readme = await readFile(new URL("README.md", PACKAGE), "utf8");
  const [, section = ""] = readme.split(`## ${heading}\n`);
  const [, program = ""] = /```ts\n([\s\S]*?)```/.exec(section) ?? [];
  return program;
}
