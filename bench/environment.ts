/** The repository's folder, and the environment of a benchmark's processes. */
import { resolve } from "node:path";

export const REPOSITORY = resolve(import.meta.dirname, "..");

/** Without the settings of the user's own server: these processes must not use it or its database. */
export function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => name !== "DATABASE_URL" && !name.startsWith("ABSTRACTRUNTIME_")),
  );
}
