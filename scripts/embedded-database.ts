/** Finds the embedded database of a data directory by the files that its server keeps there. */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";

/** Where the database listens, and as whom clients log in. */
export type DatabaseAddress = { host: string; port: number; user: string; password: string; database: string };

/** A database that cannot be used now; the message says what to do. */
export class DatabaseUnusableError extends Error {}

/**
 * Returns the address of the database that runs on `dataDir`.
 * @throws {DatabaseUnusableError} if there is no data, no database runs on it, or this user may not read its password
 */
export function findDatabase(dataDir: string): DatabaseAddress {
  const folder = path.join(dataDir, "postgres");
  if (!existsSync(path.join(folder, "data"))) {
    throw new DatabaseUnusableError(
      `${dataDir} holds no embedded database: start a server on it, or name another one.`,
    );
  }
  const absent = `No server runs on ${dataDir}: its database is stopped. Start it with npm start or npm run dev.`;
  // https://www.postgresql.org/docs/18/storage-file-layout.html: pid, folder, start time, port, ..., status (line 8)
  const lines = read(path.join(folder, "data", "postmaster.pid"), absent).split("\n");
  const [pid, port, status] = [Number(lines[0]), Number(lines[3]), (lines[7] ?? "").trim()];
  if (!isAlive(pid)) throw new DatabaseUnusableError(absent);
  if (status !== "ready")
    throw new DatabaseUnusableError(`The database of ${dataDir} is ${status || "starting"}: try again.`);
  const password = read(path.join(folder, "password"), `${dataDir} has lost the password of its database.`).trim();
  return { host: "127.0.0.1", port, user: "abstractruntime", password, database: "abstractruntime" };
}

/** @param absent what it means that the file is not there */
function read(file: string, absent: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new DatabaseUnusableError(absent);
    if (code === "EACCES")
      throw new DatabaseUnusableError(`${file} belongs to another user: run this as the server's user.`);
    throw error;
  }
}

function isAlive(pid: number): boolean {
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
