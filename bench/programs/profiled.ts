/**
 * Preloaded into a process to profile. SIGUSR2 begins a CPU profile, the next SIGUSR2 ends and writes it, so that a
 * profile covers the measurement only, without the start of the process. `PROFILE_FILE` names the file, which appears
 * when the profile is written.
 */
import { renameSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector/promises";

const session = new Session();
session.connect();
let isOn = false;

async function toggle(): Promise<void> {
  isOn = !isOn;
  if (isOn) {
    await session.post("Profiler.enable");
    await session.post("Profiler.start");
    return;
  }
  const { profile } = await session.post("Profiler.stop");
  const file = process.env["PROFILE_FILE"]!;
  writeFileSync(`${file}.part`, JSON.stringify(profile));
  renameSync(`${file}.part`, file);
}

process.on("SIGUSR2", () => void toggle());
