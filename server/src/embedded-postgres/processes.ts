import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/**
 * What the operating system knows about the processes of one database.
 *
 * A pid alone proves nothing: after a crash another process may have it, and in containers one nearly always does.
 * So a database has a cluster name that is unique to its data folder, and a process counts as part of it only if its
 * command line contains that name. Command lines are world-readable, unlike `/proc/<pid>/cwd`, which root may not read
 * in a container without CAP_SYS_PTRACE.
 */
export type PostmasterState = "running" | "gone" | "foreign";

/** Identifies the processes of a database: its cluster name, and where its data is. */
export type ClusterMarks = { name: string; dataFolder: string };

/** Returns whether `pid` is the postmaster of the cluster; `foreign` is a living process that is something else. */
export function postmasterState(pid: number, { name, dataFolder }: ClusterMarks): PostmasterState {
  if (!processExists(pid)) return "gone";
  const command = commandOf(pid);
  if (command.includes(`cluster_name=${name}`)) return "running";
  // Someone may have started it by hand, without our settings. It must be left alone too.
  const [program = ""] = command.split(" ", 1);
  return program.endsWith("postgres") && command.includes(dataFolder) ? "running" : "foreign";
}

/** Returns server processes of the cluster whose postmaster is dead. They hold its shared memory, so no new postmaster
 *  can start. */
export function orphansOf(cluster: ClusterMarks): number[] {
  const title = `postgres: ${cluster.name}: `;
  return pidsWithCommand(title).filter((pid) => {
    const parent = parentOf(pid);
    return parent !== undefined && postmasterState(parent, cluster) !== "running";
  });
}

/** Returns whether a process with this pid exists. A dead child that its parent has not collected exists. */
export function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Sends a signal. A process that is gone, or that this user may not signal, is not an error. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ESRCH" && code !== "EPERM") throw error;
  }
}

/** Returns the command line, arguments separated by blanks; "" if the process is gone, or dead and not collected. */
function commandOf(pid: number): string {
  if (process.platform !== "linux") return ps(["-o", "command=", "-p", String(pid)]).trim();
  return readProc(pid, "cmdline").replaceAll("\0", " ").trim();
}

function parentOf(pid: number): number | undefined {
  if (process.platform !== "linux") return Number(ps(["-o", "ppid=", "-p", String(pid)]).trim()) || undefined;
  // `pid (name) state ppid …`: the name may contain blanks and brackets, so the rest begins after the last bracket.
  const stat = readProc(pid, "stat");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) || undefined;
}

function pidsWithCommand(prefix: string): number[] {
  if (process.platform === "linux") {
    const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    return pids.map(Number).filter((pid) => readProc(pid, "cmdline").startsWith(prefix));
  }
  const lines = ps(["-axo", "pid=,command="]).split("\n");
  return lines.flatMap((line) => {
    const [, pid, command] = /^\s*(\d+) (.*)$/.exec(line) ?? [];
    return pid !== undefined && command?.startsWith(prefix) ? [Number(pid)] : [];
  });
}

function readProc(pid: number, file: "cmdline" | "stat"): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return ""; // It ended in the meantime.
  }
}

function ps(args: string[]): string {
  return spawnSync("ps", args, { encoding: "utf8" }).stdout ?? "";
}
