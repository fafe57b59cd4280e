import { defineConfig } from "vitest/config";

const coreTests = "server/src/core/**/*.test.ts";
const memoryTests = ["server/src/store/memory/**/*.test.ts", "tests/simulation/**/*.test.ts"];

export default defineConfig({
  test: {
    // Two, because CI has two cores.
    maxWorkers: 2,
    // A process per file: servers, databases and signals of one file never reach another.
    pool: "forks",
    projects: [
      {
        // core does no I/O; its tests wait for no database (`npm run test:unit`).
        extends: true,
        test: { name: "core", include: [coreTests] },
      },
      {
        // The memory store, alone and under simulated servers: no database either (`npm run sim`, `test:store`).
        extends: true,
        test: { name: "memory", include: memoryTests },
      },
      {
        extends: true,
        test: {
          name: "system",
          include: ["{server,sdk-ts,tool-worker}/src/**/*.test.ts", "proto/**/*.test.ts", "tests/**/*.test.ts"],
          exclude: ["**/node_modules/**", "proto/gen/**", coreTests, ...memoryTests],
          // Starts the Postgres that tests on a real database share.
          globalSetup: ["tests/support/global-setup.ts"],
        },
      },
    ],
    // Only a hung test should reach these: a machine whose cores are all taken is many times slower.
    testTimeout: 120_000,
    hookTimeout: 180_000,
    teardownTimeout: 30_000,
    // A test without an assertion cannot fail.
    expect: { requireAssertions: true },
  },
});
