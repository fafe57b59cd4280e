/** Where the repository is, and what the processes of a benchmark get from this one. */
import { resolve } from "node:path";

export const REPOSITORY = resolve(import.meta.dirname, "..");

/** Settings of a server that the user runs would lead these processes to it, or to its database. */
export function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => name !== "DATABASE_URL" && !name.startsWith("ABSTRACTRUNTIME_")),
  );
}
