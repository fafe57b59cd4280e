/** The smoke programs of sdk-go, built first. */
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe } from "vitest";
import { CLIENT_CACHE, prepareToolchain } from "../../scripts/client-languages.ts";
import { REPOSITORY } from "../conformance/server.ts";
import { testSmokePrograms } from "./smoke-programs.ts";

/** gRPC and Protobuf are compiled too if Go's cache is empty: half a minute on two free cores. */
const BUILD_TIMEOUT_MS = 600_000;

const go = await prepareToolchain.go();
const missing = "missing" in go ? go.missing : undefined;
if (missing !== undefined) console.warn(`tests/generated-clients: skipped: ${missing}`);

describe.skipIf(missing)(missing === undefined ? "Go" : `Go (skipped: ${missing})`, () => {
  const env = "missing" in go ? {} : go.env;
  const cwd = path.join(REPOSITORY, "sdk-go");
  const built = path.join(CLIENT_CACHE, "go");
  beforeAll(async () => {
    mkdirSync(built, { recursive: true });
    await promisify(execFile)("go", ["build", "-o", built, "./smoke/..."], { cwd, env });
  }, BUILD_TIMEOUT_MS);
  testSmokePrograms({ client: [path.join(built, "client")], worker: [path.join(built, "worker")], cwd, env });
});
