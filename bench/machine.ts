/** The machine and the code version of a measurement. */
import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, release, totalmem, type } from "node:os";
import { REPOSITORY } from "./environment.ts";

export type Machine = { name: string; value: string }[];

export function describeMachine(postgresVersion: string): Machine {
  return [
    { name: "CPU", value: `${cpus()[0]?.model.trim() ?? "unknown"}, ${availableParallelism()} cores` },
    { name: "Memory", value: `${Math.round(totalmem() / 1024 ** 3)} GiB` },
    { name: "System", value: `${type()} ${release()}` },
    { name: "Node", value: process.version },
    { name: "Postgres", value: postgresVersion },
    { name: "Commit", value: commitOfRepository() },
    { name: "Date", value: new Date().toISOString().slice(0, 10) },
  ];
}

function commitOfRepository(): string {
  const git = (...args: string[]): string =>
    execFileSync("git", args, { cwd: REPOSITORY, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    const commit = git("rev-parse", "--short=12", "HEAD");
    return git("status", "--porcelain", "--untracked-files=no") === "" ? commit : `${commit} with changes`;
  } catch {
    return "not a git repository";
  }
}
