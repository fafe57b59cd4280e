import { randomBytes } from "node:crypto";
import { closeSync, constants, existsSync, openSync } from "node:fs";
import * as fs from "node:fs/promises";
import path from "node:path";

import { type Binaries, findBinaries } from "./binaries.ts";
import { type DatabaseLog, DatabaseSetupError } from "./database-error.ts";
import { type ClusterMarks, postmasterState } from "./processes.ts";
import { type Account, lastLines, runProgram, sweepAbandoned } from "./programs.ts";

/**
 * The folder of an embedded database, and the account that runs it.
 *
 *     <dataDir>/postgres/            appears by one rename, complete or not at all
 *       data/                        created by initdb; the only folder Postgres reads and writes
 *       password                     of both roles, 0600
 *       port, postgres.log           written by the supervisor (embedded-postgres.ts)
 *     <dataDir>/postgres.init-…      an initialisation in progress, or left by a crash; removed at the next start
 *
 * Two servers that start on an empty folder both initialise a folder of their own; one rename wins, and the other
 * server uses the winner's. A crash in between leaves only a folder that is never used. So initialisation needs no
 * lock.
 */
export type Cluster = {
  /** Contains everything of this database. */
  folder: string;
  /** The data directory of Postgres. */
  dataFolder: string;
  /** Unique to the data folder on this machine; the processes of the database have it in their command lines. */
  name: string;
  /** Hexadecimal, so that it needs no quoting anywhere. */
  password: string;
  binaries: Binaries;
  /** The account that runs Postgres; undefined is the user of this process. Postgres refuses to run as root. */
  account: Account | undefined;
  /** The account cannot reach the data folder by its path, so it receives it as an open descriptor. */
  viaDescriptor: boolean;
};

export type OpenClusterOptions = {
  dataDir: string;
  log: DatabaseLog;
  signal: AbortSignal;
  /** Tests only: skips the flush to disk at the end of the initialisation. */
  unsafeForTests: boolean;
};

/** The role the supervisor uses. Clients get one that is not a superuser, so that it cannot use up the connections
 *  kept for this one, read files, or run programs. */
export const ADMIN_ROLE = "postgres";

/** The path of the data folder for a child that has it as descriptor 3. */
const DESCRIPTOR_PATH = "/proc/self/fd/3";

/** Users that exist to run a database, then the user that owns nothing. */
const ACCOUNT_NAMES = ["postgres", "_postgres", "nobody"];

const isRoot = process.getuid?.() === 0;

/**
 * Opens the database folder in `dataDir`. Creates both if they are missing.
 * @throws {DatabaseSetupError} DATA_DIR_UNUSABLE, BINARIES_UNUSABLE, START_FAILED
 */
export async function openCluster(options: OpenClusterOptions): Promise<Cluster> {
  const dataDir = await makeDataDir(path.resolve(options.dataDir));
  const folder = path.join(dataDir, "postgres");
  const dataFolder = path.join(folder, "data");
  const account = isRoot ? await chooseAccount(dataFolder) : undefined;
  const viaDescriptor = account !== undefined && !(await canReach(account, dataDir));
  const binaries = await findBinaries(account, options.log);
  const site = { folder, dataFolder, binaries, account, viaDescriptor };

  await sweepAbandoned(dataDir, "postgres.init-");
  if (!existsSync(folder)) await initialise(dataDir, site, options);

  try {
    await sweepAbandoned(dataFolder, "postmaster.pid.");
    const major = (await fs.readFile(path.join(dataFolder, "PG_VERSION"), "utf8")).trim();
    if (major !== binaries.major) {
      throw new DatabaseSetupError(
        "DATA_DIR_UNUSABLE",
        `${dataFolder} was made by Postgres ${major}, but this is Postgres ${binaries.major}: ` +
          "move the data with pg_dump, or start the release that made it",
      );
    }
    const password = (await fs.readFile(path.join(folder, "password"), "utf8")).trim();
    const { uid } = await fs.stat(dataFolder);
    if (!isRoot && uid !== process.getuid?.()) {
      throw new DatabaseSetupError("DATA_DIR_UNUSABLE", `${dataFolder} belongs to another user (uid ${uid})`);
    }
    return { ...site, password, name: await clusterNameOf(dataFolder) };
  } catch (error) {
    if (error instanceof DatabaseSetupError) throw error;
    throw unusable(folder, error, "contains no database that this user can read");
  }
}

/** From device and inode: a copied folder is another database, a moved folder is the same, and nothing is stored. */
async function clusterNameOf(dataFolder: string): Promise<string> {
  const { dev, ino } = await fs.stat(dataFolder, { bigint: true });
  return `abstractruntime-${dev.toString(36)}-${ino.toString(36)}`;
}

/** The running postmaster of a data directory's database, if any, and the marks of its processes. */
export async function findPostmaster(dataDir: string): Promise<{ pid: number; marks: ClusterMarks } | undefined> {
  try {
    const dataFolder = path.join(await fs.realpath(dataDir), "postgres", "data");
    const marks = { dataFolder, name: await clusterNameOf(dataFolder) };
    const pid = Number.parseInt(await fs.readFile(path.join(dataFolder, "postmaster.pid"), "utf8"), 10);
    return pid > 0 && postmasterState(pid, marks) === "running" ? { pid, marks } : undefined;
  } catch (error) {
    // No folder, no database, or one that has ended.
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** The data folder's path for a process of the account: the value of `-D`. */
export function dataArgument(cluster: Pick<Cluster, "dataFolder" | "viaDescriptor">): string {
  return cluster.viaDescriptor ? DESCRIPTOR_PATH : cluster.dataFolder;
}

async function makeDataDir(dataDir: string): Promise<string> {
  try {
    // The database's account must be able to traverse it; private files inside have their own modes.
    await fs.mkdir(dataDir, { recursive: true, mode: isRoot ? 0o755 : 0o700 });
    await fs.access(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
    return await fs.realpath(dataDir);
  } catch (error) {
    throw unusable(dataDir, error, "cannot be used as the data directory");
  }
}

/** Root runs the database as the owner of the data, so that a folder that a user has used stays that user's. */
async function chooseAccount(dataFolder: string): Promise<Account> {
  const owner = await fs.stat(dataFolder).catch(() => undefined);
  if (owner !== undefined) {
    if (owner.uid !== 0) return { uid: owner.uid, gid: owner.gid, name: `uid ${owner.uid}` };
    throw new DatabaseSetupError(
      "DATA_DIR_UNUSABLE",
      `${dataFolder} belongs to root, but Postgres does not run as root; chown it to another user`,
    );
  }
  for (const name of ACCOUNT_NAMES) {
    const [uid, gid] = await Promise.all([runProgram("id", ["-u", name]), runProgram("id", ["-g", name])]);
    // spawn takes a 32-bit id above 2^31 as a signed number; on macOS, `nobody` is -2.
    if (uid.code === 0 && gid.code === 0) return { uid: Number(uid.output) | 0, gid: Number(gid.output) | 0, name };
  }
  throw new DatabaseSetupError(
    "DATA_DIR_UNUSABLE",
    `Postgres does not run as root, and none of the users ${ACCOUNT_NAMES.join(", ")} exists: ` +
      "create one, or start the server as another user",
  );
}

/**
 * Whether the account can reach `dataDir`. It cannot if it may not enter a parent, as is usual for `/root`.
 * On Linux the folder is then passed as a descriptor, which does not depend on the parents. Elsewhere that is not
 * possible, and this program must not open somebody's home to others.
 */
async function canReach(account: Account, dataDir: string): Promise<boolean> {
  const parents: string[] = [];
  for (let at = dataDir; parents[0] !== at; at = path.dirname(at)) parents.unshift(at);
  const script = 'for folder; do [ -x "$folder" ] || { printf %s "$folder"; exit 1; }; done';
  const answer = await runProgram("/bin/sh", ["-c", script, "sh", ...parents], { account });
  if (answer.code === 0) return true;
  if (process.platform === "linux") return false;
  throw new DatabaseSetupError(
    "DATA_DIR_UNUSABLE",
    `the user ${account.name}, who runs the database, cannot enter ${answer.output}: ` +
      "choose another data directory, or run chmod o+x on it",
  );
}

type Site = Omit<Cluster, "name" | "password">;

async function initialise(dataDir: string, site: Site, options: OpenClusterOptions): Promise<void> {
  const { log, signal, unsafeForTests } = options;
  const draft = path.join(dataDir, `postgres.init-${process.pid}-${randomBytes(4).toString("hex")}`);
  const dataFolder = path.join(draft, "data");
  const passwordFile = path.join(draft, "password");
  log.info(`creating a new database in ${site.folder}`);
  const { account, viaDescriptor } = site;
  const opened: number[] = [];
  try {
    await fs.mkdir(draft);
    await fs.chmod(draft, account ? 0o711 : 0o700); // Not with mkdir's mode, which the umask reduces.
    await fs.mkdir(dataFolder, { mode: 0o700 });
    await fs.writeFile(passwordFile, `${randomBytes(24).toString("hex")}\n`, { mode: 0o600, flag: "wx" });
    if (account) {
      await fs.chown(dataFolder, account.uid, account.gid);
      await fs.chown(passwordFile, account.uid, account.gid);
    }
    if (viaDescriptor) opened.push(openSync(dataFolder, "r"), openSync(passwordFile, "r"));
    const initdb = await runProgram(
      site.binaries.initdb,
      [
        ["--pgdata", dataArgument({ dataFolder, viaDescriptor })],
        ["--username", ADMIN_ROLE],
        ["--pwfile", viaDescriptor ? "/proc/self/fd/4" : passwordFile],
        ["--auth", "scram-sha-256"],
        ["--encoding", "UTF8"],
        // The same sort order and characters on every machine, independent of its C library.
        ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"],
        ["--data-checksums", "--no-instructions"],
        ...initialSettings.map((setting) => ["--set", setting]),
        unsafeForTests ? ["--no-sync"] : [],
      ].flat(),
      { ...(account ? { account } : {}), signal, descriptors: opened },
    );
    signal.throwIfAborted();
    if (initdb.code !== 0) {
      throw new DatabaseSetupError("START_FAILED", `initdb failed in ${dataFolder}:\n${lastLines(initdb.output, 10)}`);
    }
    if (isRoot) await fs.chown(passwordFile, 0, 0);
    await flush(passwordFile);
    await flush(draft);
    await fs.rename(draft, site.folder);
    await flush(dataDir);
  } catch (error) {
    await fs.rm(draft, { recursive: true, force: true });
    if (existsSync(site.folder)) return; // Another server was faster; use its database.
    if (error instanceof DatabaseSetupError || signal.aborted) throw error;
    throw unusable(dataDir, error, "cannot be used for a database");
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
}

/** Written to postgresql.conf at the first start; the operator may change them. Settings that must not change are
 *  passed on the command line at every start (embedded-postgres.ts). */
const initialSettings = [
  "max_connections=100",
  "shared_buffers=128MB",
  "huge_pages=off",
  "wal_buffers=16MB",
  // Bounds the replay after a crash as well as the frequency of checkpoints, whose full pages are most of the WAL.
  "max_wal_size=2GB",
  "checkpoint_timeout=5min",
  // Statements of the store are short; compiling them costs more than running them.
  "jit=off",
  "autovacuum_naptime=15s",
  // The store's plans hardly depend on statistics, and with a sample for 100 an analyze of `runs` takes a second of
  // CPU, twice a minute where many runs start.
  "default_statistics_target=25",
  "log_checkpoints=off",
  "log_autovacuum_min_duration=-1",
  // Details of a failing row are payloads.
  "log_error_verbosity=terse",
];

/** Flushes a file, or the entries of a folder, to disk, so that they survive a power cut. */
async function flush(file: string): Promise<void> {
  await using handle = await fs.open(file, "r");
  await handle.sync();
}

function unusable(folder: string, error: unknown, what: string): DatabaseSetupError {
  const detail = error instanceof Error ? error.message : String(error);
  return new DatabaseSetupError("DATA_DIR_UNUSABLE", `${folder} ${what}: ${detail}`, { cause: error });
}
