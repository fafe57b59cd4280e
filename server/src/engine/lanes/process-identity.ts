import { readFileSync, readlinkSync } from "node:fs";

/**
 * Identifies this process by boot, pid namespace, pid and start time: another process on the machine can tell if it is
 * alive.
 */
export function processIdentity(): string {
  const machine = machineIdentity();
  const started = startTicks(process.pid);
  return machine === undefined || started === undefined ? `pid ${process.pid}` : `${machine} ${process.pid} ${started}`;
}

/** Whether `identity` names a process of this machine that has ended. False if that cannot be known. */
export function isProcessGone(identity: string): boolean {
  const parts = identity.split(" ");
  if (parts.length !== 4 || `${parts[0]} ${parts[1]}` !== machineIdentity()) return false;
  return startTicks(Number(parts[2])) !== parts[3];
}

let machine: { identity: string | undefined } | undefined;

/** The boot and the pid namespace: pids of another container mean nothing here. Undefined if there is no /proc. */
function machineIdentity(): string | undefined {
  if (machine === undefined) {
    try {
      const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
      machine = { identity: `${boot} ${readlinkSync("/proc/self/ns/pid")}` };
    } catch {
      machine = { identity: undefined };
    }
  }
  return machine.identity;
}

/**
 * When a process began, in clock ticks since boot. It differs from that of a later process with the same pid. Zombies
 * count as ended.
 */
function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command is in parentheses and may contain anything. The state is the first field after it, the start time the
    // 20th.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
