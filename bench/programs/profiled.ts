/**
 * Loaded before a process that is profiled: SIGUSR2 begins a CPU profile, the next one ends and writes it, so that a profile is
 * of the measurement only, without the start of the process. `PROFILE_FILE` names the file; it is there once the profile is written.
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
