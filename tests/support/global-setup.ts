import type { TestProject } from "vitest/node";

import { startThrowAwayPostgres } from "./postgres.ts";

/** Starts the suite's Postgres before any test file and removes it after the last. For vitest's `globalSetup`. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startThrowAwayPostgres();
  project.provide("postgresAdminUrl", server.adminUrl);
  project.provide("postgresUrl", server.url);
  return () => server.stop();
}
