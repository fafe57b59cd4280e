/**
 * Adds to package-lock.json the optional packages of other platforms that the registry in use does not have. npm leaves
 * them out when it writes the lock, and `npm ci` then refuses the lock. Run `npm run lock` after every change of
 * dependencies.
 */
import { readFileSync, writeFileSync } from "node:fs";

type LockedPackage = {
  version?: string;
  dev?: boolean;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
};
type Lock = { packages: Record<string, LockedPackage> };

const LOCK = "package-lock.json";
const OS_BY_WORD: Record<string, string> = {
  darwin: "darwin",
  linux: "linux",
  win32: "win32",
  windows: "win32",
  android: "android",
  freebsd: "freebsd",
  openharmony: "openharmony",
  openbsd: "openbsd",
  netbsd: "netbsd",
  sunos: "sunos",
  aix: "aix",
};
const CPU_BY_WORD: Record<string, string> = {
  x64: "x64",
  arm64: "arm64",
  aarch64: "arm64",
  arm: "arm",
  armv7: "arm",
  ia32: "ia32",
  ppc64: "ppc64",
  riscv64: "riscv64",
  s390x: "s390x",
  loong64: "loong64",
  mips64el: "mips64el",
  wasm32: "wasm32",
};

const lock = JSON.parse(readFileSync(LOCK, "utf8")) as Lock;
let added = 0;
for (const [place, locked] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(locked.optionalDependencies ?? {})) {
    if (isLocked(place, name)) continue;
    const platform = platformOf(name);
    // Without the registry, only exact versions of packages with a platform in their name can be added.
    if (platform === undefined || !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) {
      console.error(`left out: ${name} ${version}, required by ${place}`);
      continue;
    }
    const base = place.slice(0, Math.max(place.lastIndexOf("node_modules/"), 0));
    lock.packages[`${base}node_modules/${name}`] = {
      version,
      cpu: [platform.cpu],
      ...(locked.dev === true ? { dev: true } : {}),
      ...(platform.libc === undefined ? {} : { libc: [platform.libc] }),
      optional: true,
      os: [platform.os],
    };
    added += 1;
  }
}
lock.packages = Object.fromEntries(
  Object.entries(lock.packages).toSorted(([one], [other]) => one.localeCompare(other, "en")),
);
writeFileSync(LOCK, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${added} added`);

/** Whether a package can resolve `name`, in its own node_modules or in one above it. */
function isLocked(place: string, name: string): boolean {
  for (let folder = place; ; folder = folder.slice(0, Math.max(folder.lastIndexOf("node_modules/") - 1, 0))) {
    if (lock.packages[`${folder === "" ? "" : `${folder}/`}node_modules/${name}`] !== undefined) return true;
    if (folder === "" || !folder.includes("node_modules/")) {
      return lock.packages[`node_modules/${name}`] !== undefined;
    }
  }
}

function platformOf(name: string): { os: string; cpu: string; libc?: string } | undefined {
  const words = name.split(/[-/]/);
  const os = words.map((word) => OS_BY_WORD[word]).find((value) => value !== undefined);
  const cpu = words.map((word) => CPU_BY_WORD[word]).find((value) => value !== undefined);
  if (os === undefined || cpu === undefined) return undefined;
  if (os !== "linux") return { os, cpu };
  if (name.includes("musl")) return { os, cpu, libc: "musl" };
  return name.includes("gnu") ? { os, cpu, libc: "glibc" } : { os, cpu };
}
