/** Suspends the processes of a Postgres: its connections stay open, and nothing answers. */
import { readdirSync, readFileSync } from "node:fs";

/** Whether the children of a process can be found here. */
export const CAN_SUSPEND = process.platform === "linux";

/** Suspends a process and its children. Returns a function that resumes them. */
export function suspendTree(pid: number): () => void {
  // First the parent, which would start more.
  process.kill(pid, "SIGSTOP");
  const pids = [pid, ...childrenOf(pid)];
  for (const child of pids) process.kill(child, "SIGSTOP");
  return () => {
    for (const child of pids) {
      try {
        process.kill(child, "SIGCONT");
      } catch {
        // It has ended.
      }
    }
  };
}

function childrenOf(parent: number): number[] {
  return readdirSync("/proc").flatMap((name) => {
    const pid = Number(name);
    if (Number.isNaN(pid)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === parent ? [pid] : [];
    } catch {
      return []; // It ended in the meantime.
    }
  });
}
