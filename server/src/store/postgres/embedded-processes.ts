import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/**
 * What the operating system knows about the processes of one database.
 *
 * A pid alone proves nothing: after a crash another process may have got it, in containers it nearly always has. So a
 * database carries a cluster name that is unique to its data folder, and a process counts as part of it only if its
 * command line says so. That line is world-readable, unlike `/proc/<pid>/cwd`, which root may not read in a container
 * without CAP_SYS_PTRACE.
 */
export type PostmasterState = "running" | "gone" | "foreign";

/** What marks the processes of a database: its cluster name, and where its data is. */
export type ClusterMarks = { name: string; dataFolder: string };

/** Says whether `pid` is the postmaster of the cluster: `foreign` is a living process that is something else. */
export function postmasterState(pid: number, { name, dataFolder }: ClusterMarks): PostmasterState {
  if (!processExists(pid)) return "gone";
  // Without a process table to ask, the caller finds out by connecting.
  if (process.platform === "win32") return "running";
  const command = commandOf(pid);
  if (command.includes(`cluster_name=${name}`)) return "running";
  // Someone may have started it by hand, without our settings: it must be left alone all the same.
  const [program = ""] = command.split(" ", 1);
  return program.endsWith("postgres") && command.includes(dataFolder) ? "running" : "foreign";
}

/** Server processes of the cluster whose postmaster is dead: they hold its shared memory, so no new one can start. */
export function orphansOf(cluster: ClusterMarks): number[] {
  const title = `postgres: ${cluster.name}: `;
  return pidsWithCommand(title).filter((pid) => {
    const parent = parentOf(pid);
    return parent !== undefined && postmasterState(parent, cluster) !== "running";
  });
}

/** Whether a process with this pid exists. A dead child that its parent has not collected counts as existing. */
export function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Sends a signal; a process that is gone already, or is not ours to signal, is no error. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ESRCH" && code !== "EPERM") throw error;
  }
}

/** The command line of a process with its arguments parted by blanks; "" if it is gone, or dead and not collected. */
function commandOf(pid: number): string {
  if (process.platform !== "linux") return ps(["-o", "command=", "-p", String(pid)]).trim();
  return readProc(pid, "cmdline").replaceAll("\0", " ").trim();
}

function parentOf(pid: number): number | undefined {
  if (process.platform !== "linux") return Number(ps(["-o", "ppid=", "-p", String(pid)]).trim()) || undefined;
  // `pid (name) state ppid …`: the name may hold blanks and brackets, so look behind the last bracket.
  const stat = readProc(pid, "stat");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) || undefined;
}

function pidsWithCommand(prefix: string): number[] {
  if (process.platform === "win32") return [];
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
    return ""; // It ended while we looked.
  }
}

function ps(args: string[]): string {
  return spawnSync("ps", args, { encoding: "utf8" }).stdout ?? "";
}
