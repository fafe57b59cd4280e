import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** A test run of one file that never ends by itself; killed-run.test.ts kills it. */
export default defineConfig({
  test: {
    root: fileURLToPath(new URL("../../", import.meta.url)),
    include: ["tests/runner/held-run.ts"],
    pool: "forks",
    globalSetup: ["tests/support/global-setup.ts"],
    testTimeout: 120_000,
  },
});
