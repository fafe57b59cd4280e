/**
 * Programs that people run beside this project (Debian's Postgres, PgBouncer, nginx), for tests on the real thing.
 *
 * A program that is not installed is taken from Debian's package: downloaded, and unpacked into a cache folder. Nothing
 * is installed, so this works without root. Where it does not work, `missing` says why, and the tests are skipped.
 * TEST_PROGRAMS=packages ignores what is installed, TEST_PROGRAMS=none finds nothing: both are for trying this file.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import * as fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const NAMES = ["postgres", "pgbouncer", "nginx"] as const;
export type ProgramName = (typeof NAMES)[number];
/** Where a program is, and where the shared libraries are that it needs beside the system's. */
export type Program = { path: string; libraries: string };
export type Programs = {
  found: ReadonlyMap<ProgramName, Program>;
  /** Why not all of them were found. */
  missing: string | undefined;
};

/** A download of a few MB that takes longer is not worth a test's time. */
const DOWNLOAD_MS_MAX = 90_000;
/** Packages of libraries that need libraries that need libraries. */
const LIBRARY_ROUNDS_MAX = 4;
/** The Postgres releases that this project supports, the oldest first: most is learned from it. */
const POSTGRES_MAJORS = [15, 16, 17, 18, 19];

/** The packages, and where each has its program. */
const PACKAGES: Record<ProgramName, { package: string | RegExp; folders: readonly string[] }> = {
  // Debian names the release's version as a dependency of `postgresql`.
  postgres: { package: /postgresql-\d+/, folders: POSTGRES_MAJORS.map((major) => `/usr/lib/postgresql/${major}/bin`) },
  pgbouncer: { package: "pgbouncer", folders: ["/usr/sbin"] },
  nginx: { package: "nginx", folders: ["/usr/sbin"] },
};

const run = promisify(execFile);

/** Finds programs, downloads what is missing, and says on stderr why tests are skipped. */
export async function findPrograms(...names: ProgramName[]): Promise<Programs> {
  const found = new Map<ProgramName, Program>();
  const reasons: string[] = [];
  for (const name of names) {
    try {
      found.set(name, await findProgram(name));
    } catch (error) {
      reasons.push(`${name} is not installed and cannot be downloaded: ${lastLineOf(error)}`);
    }
  }
  const missing = reasons.length === 0 ? undefined : reasons.join("; ");
  if (missing !== undefined) process.stderr.write(`[real servers] tests are skipped: ${missing}\n`);
  return { found, missing };
}

async function findProgram(name: ProgramName): Promise<Program> {
  const wanted = process.env["TEST_PROGRAMS"];
  if (wanted === "none") throw new Error("TEST_PROGRAMS=none");
  const folders = [...PACKAGES[name].folders, ...(process.env["PATH"] ?? "").split(path.delimiter)];
  const installed = wanted === "packages" ? undefined : programIn(name, folders);
  return installed === undefined ? await unpackProgram(name) : { path: installed, libraries: "" };
}

function programIn(name: ProgramName, folders: readonly string[]): string | undefined {
  const isWhole = (folder: string): boolean =>
    existsSync(path.join(folder, name)) && (name !== "postgres" || existsSync(path.join(folder, "initdb")));
  const folder = folders.find((candidate) => candidate !== "" && isWhole(candidate));
  return folder === undefined ? undefined : path.join(folder, name);
}

/** Outside the checkout, and where the account that runs Postgres may enter if the tests run as root. */
function cacheFolder(): string {
  const caches =
    process.getuid?.() === 0 ? "/var/cache" : (process.env["XDG_CACHE_HOME"] ?? path.join(os.homedir(), ".cache"));
  return path.join(caches, "abstractruntime-tests");
}

async function unpackProgram(name: ProgramName): Promise<Program> {
  const cache = cacheFolder();
  const folder = path.join(cache, `${name}-${process.arch}`);
  const failure = path.join(os.tmpdir(), `no-${name}`);
  if (!existsSync(folder)) {
    // Another test file of this run has tried.
    const before = await fs.readFile(failure, "utf8").catch(() => undefined);
    if (before !== undefined) throw new Error(before);
    const draft = path.join(cache, `draft-${process.pid}-${randomBytes(4).toString("hex")}`);
    try {
      await fs.mkdir(draft, { recursive: true });
      await fs.chmod(cache, 0o755);
      await download(name, draft);
      // Another process may have been faster.
      await fs.rename(draft, folder).catch((error: unknown) => {
        if (!existsSync(folder)) throw error;
      });
    } catch (error) {
      await fs.writeFile(failure, lastLineOf(error));
      throw error;
    } finally {
      await fs.rm(draft, { recursive: true, force: true });
    }
  }
  return { path: unpackedProgram(name, folder), libraries: await libraryFoldersIn(folder) };
}

function unpackedProgram(name: ProgramName, folder: string): string {
  const program = programIn(
    name,
    PACKAGES[name].folders.map((at) => path.join(folder, at)),
  );
  if (program === undefined) throw new Error(`the package has no ${name}`);
  return program;
}

async function download(name: ProgramName, folder: string): Promise<void> {
  const wanted = PACKAGES[name].package;
  const [packageName] =
    typeof wanted === "string" ? [wanted] : (await dependenciesOf("postgresql")).filter((known) => wanted.test(known));
  if (packageName === undefined) throw new Error("Debian has no package of it");
  await unpack([packageName], folder);
  let packages = [packageName];
  for (let round = 0; round < LIBRARY_ROUNDS_MAX; round++) {
    if (!(await lacksLibraries(unpackedProgram(name, folder), await libraryFoldersIn(folder)))) return;
    const known = await Promise.all(packages.map((each) => dependenciesOf(each)));
    packages = [];
    for (const library of new Set(known.flat().filter((each) => each.startsWith("lib"))))
      if (!(await isInstalled(library))) packages.push(library);
    await unpack(packages, folder);
  }
  throw new Error("shared libraries are missing");
}

async function unpack(packages: readonly string[], folder: string): Promise<void> {
  if (packages.length === 0) return;
  const downloads = await fs.mkdtemp(path.join(folder, "downloads-"));
  const options = { cwd: downloads, timeout: DOWNLOAD_MS_MAX, env: { ...process.env, LC_ALL: "C" } };
  const quick = ["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=15"];
  const get = () => run("apt-get", [...quick, "download", ...packages], options);
  await get().catch(async (error: unknown) => {
    // Images without lists of packages are common, for instance of containers. Only root may fetch the lists.
    if (process.getuid?.() !== 0) throw error;
    await run("apt-get", [...quick, "update"], options);
    await get();
  });
  for (const file of await fs.readdir(downloads)) await run("dpkg", ["-x", path.join(downloads, file), folder]);
  await fs.rm(downloads, { recursive: true });
}

async function dependenciesOf(packageName: string): Promise<string[]> {
  const { stdout } = await run("apt-cache", ["depends", "--important", packageName]);
  return [...stdout.matchAll(/^\s*\|?Depends: ([a-z0-9.+-]+)$/gm)].map((match) => match[1]!);
}

async function isInstalled(packageName: string): Promise<boolean> {
  const answer = run("dpkg-query", ["-W", "-f", "${db:Status-Status}", packageName]);
  return (await answer.catch(() => ({ stdout: "" }))).stdout.includes("installed");
}

async function lacksLibraries(program: string, libraries: string): Promise<boolean> {
  const { stdout } = await run("ldd", [program], { env: { ...process.env, LD_LIBRARY_PATH: libraries } });
  return stdout.includes("not found");
}

/** The folders of shared libraries below `usr/lib` and `lib`, as LD_LIBRARY_PATH takes them. */
async function libraryFoldersIn(folder: string): Promise<string> {
  const folders: string[] = [];
  for (const root of [path.join(folder, "usr/lib"), path.join(folder, "lib")]) {
    for (const entry of await fs.readdir(root, { withFileTypes: true }).catch(() => []))
      if (entry.isDirectory() && entry.name.includes("-linux-")) folders.push(path.join(root, entry.name));
  }
  return folders.join(":");
}

function lastLineOf(error: unknown): string {
  const { stderr, message } = error as Error & { stderr?: string };
  return (stderr?.trim() || message).split("\n").at(-1)!;
}
