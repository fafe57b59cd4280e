/** The packages of the contenders: they are installed only here, before the first measurement. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Installs the packages of package.json, unless these versions are installed. */
export function ensureInstalled(): void {
  const { dependencies } = readManifest(join(import.meta.dirname, "package.json"));
  const isInstalled = Object.entries(dependencies ?? {}).every(([name, version]) => installedVersion(name) === version);
  if (isInstalled) return;
  // Its output goes to stderr: the last line of stdout is the result.
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: import.meta.dirname, stdio: ["ignore", 2, 2] });
}

/** The installed version; undefined if the package is not installed. */
function installedVersion(name: string): string | undefined {
  const manifest = manifestOf(name);
  return existsSync(manifest) ? readManifest(manifest).version : undefined;
}

/** The program in the package of this platform. @throws {Error} if there is no such package */
export function restateProgram(): string {
  const name = restatePackage();
  if (installedVersion(name) === undefined)
    throw new Error(`there is no package ${name}: Restate does not run on this platform`);
  return join(manifestOf(name), "../bin/restate-server");
}

/** The names and versions of the other systems. */
export function describeInstalled(): { name: string; value: string }[] {
  return [
    { name: "Restate", value: `server ${shown(restatePackage())}, SDK ${shown("@restatedev/restate-sdk")}` },
    { name: "DBOS", value: shown("@dbos-inc/dbos-sdk") },
  ];
}

function shown(name: string): string {
  return installedVersion(name) ?? "not installed";
}

function restatePackage(): string {
  return `@restatedev/restate-server-${process.platform}-${process.arch}`;
}

function manifestOf(name: string): string {
  return join(import.meta.dirname, "node_modules", name, "package.json");
}

function readManifest(path: string): { version?: string; dependencies?: Record<string, string> } {
  return JSON.parse(readFileSync(path, "utf8")) as { version?: string; dependencies?: Record<string, string> };
}
