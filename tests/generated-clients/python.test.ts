/** The smoke programs of sdk-python. */
import path from "node:path";
import { describe } from "vitest";
import { prepareToolchain } from "../../scripts/client-languages.ts";
import { REPOSITORY } from "../conformance/server.ts";
import { testSmokePrograms } from "./smoke-programs.ts";

const python = await prepareToolchain.python();
const missing = "missing" in python ? python.missing : undefined;
if (missing !== undefined) console.warn(`tests/generated-clients: skipped: ${missing}`);

describe.skipIf(missing)(missing === undefined ? "Python" : `Python (skipped: ${missing})`, () => {
  testSmokePrograms({
    client: ["python3", "-m", "smoke.client"],
    worker: ["python3", "-m", "smoke.worker"],
    cwd: path.join(REPOSITORY, "sdk-python"),
    env: "missing" in python ? {} : python.env,
  });
});
