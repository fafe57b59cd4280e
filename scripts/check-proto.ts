/**
 * The proto gate: the contract is well formed and breaks no released client, and the committed code matches it, also in
 * Python and Go if this machine has them.
 *
 * The released contract is the image `proto/released.binpb`, which `npm run release:proto` writes at a release. It is
 * an image and not a git reference, because a shallow clone has neither the tag nor the history. Before the first
 * release there is no image, and nothing to break; once a version tag exists, a missing image is refused.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ClientLanguage, prepareToolchain } from "./client-languages.ts";
import { compareTrees } from "./compare-trees.ts";
import { generateClient, generatedFolder } from "./generate-client.ts";

const releasedImage = "proto/released.binpb";

/** The folders that buf.gen.yaml writes. */
const generatedFolders = ["proto/gen", "server/src/core/graph/gen"];

function buf(...args: string[]): boolean {
  return spawnSync("buf", args, { stdio: "inherit" }).status === 0;
}

function refuse(reason: string): void {
  console.error(reason);
  process.exitCode = 1;
}

async function checkClient(language: ClientLanguage, scratch: string): Promise<void> {
  const toolchain = await prepareToolchain[language]();
  if ("missing" in toolchain) {
    console.log(`sdk-${language} is not checked: ${toolchain.missing}`);
    return;
  }
  if (!generateClient(language, toolchain.env, scratch)) {
    refuse(`buf generate failed for sdk-${language}.`);
    return;
  }
  const folder = generatedFolder(language);
  // Python keeps compiled files next to the code.
  const differences = compareTrees({ expected: join(scratch, folder), actual: folder }).filter(
    (line) => !line.includes("__pycache__"),
  );
  if (differences.length > 0) {
    refuse(`${folder} does not match the contract; run npm run generate:${language}:\n  ${differences.join("\n  ")}`);
  }
}

if (!buf("lint")) refuse("buf lint found problems in the contract.");

const versionTags = spawnSync("git", ["tag", "--list", "v*"], { encoding: "utf8" });
if (existsSync(releasedImage)) {
  const kept = buf("breaking", "proto", "--against", releasedImage, "--exclude-imports");
  if (!kept) refuse(`The contract breaks clients of the released contract (${releasedImage}).`);
} else if (versionTags.status === 0 && versionTags.stdout !== "") {
  refuse(`A version is tagged, but ${releasedImage} is missing: run npm run release:proto at the released commit.`);
} else {
  console.log(`Not released yet (no ${releasedImage}): skipping the check for breaking changes.`);
}

const scratch = mkdtempSync(join(tmpdir(), "abstractruntime-proto-"));
try {
  if (!buf("generate", "--output", scratch)) refuse("buf generate failed.");
  for (const folder of generatedFolders) {
    const differences = compareTrees({ expected: join(scratch, folder), actual: folder });
    if (differences.length > 0) {
      refuse(`${folder} does not match the contract; run npm run generate:\n  ${differences.join("\n  ")}`);
    }
  }
  await checkClient("python", scratch);
  await checkClient("go", scratch);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
