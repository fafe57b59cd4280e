/**
 * Generates the contract's code in another language, with the template `buf.gen.<language>.yaml`. As a program (`npm
 * run generate:python`, `npm run generate:go`) it regenerates the committed code.
 */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { type ClientLanguage, prepareToolchain } from "./client-languages.ts";

/** The folder of the generated code, below the root of the repository and below the output of generateClient. */
export function generatedFolder(language: ClientLanguage): string {
  return `sdk-${language}/abstractruntime`;
}

/** Writes the code below `output`, with the toolchain's environment. Returns false if that failed; buf prints why. */
export function generateClient(language: ClientLanguage, env: NodeJS.ProcessEnv, output: string): boolean {
  const args = ["generate", "--template", `buf.gen.${language}.yaml`, "--output", output];
  return spawnSync("buf", args, { env, stdio: "inherit" }).status === 0;
}

async function main(language: ClientLanguage): Promise<boolean> {
  const toolchain = await prepareToolchain[language]();
  if ("missing" in toolchain) {
    console.error(`sdk-${language} cannot be generated here: ${toolchain.missing}`);
    return false;
  }
  rmSync(generatedFolder(language), { recursive: true, force: true });
  return generateClient(language, toolchain.env, ".");
}

if (import.meta.main && !(await main(process.argv[2] === "go" ? "go" : "python"))) process.exitCode = 1;
