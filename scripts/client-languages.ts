/** Python and Go, if this machine has them: the toolchains that generate, build and run the clients of sdk-python and
 *  sdk-go. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("../", import.meta.url));
/** The folder of installed and built files, which `npm ci` removes. */
export const CLIENT_CACHE = path.join(REPOSITORY, "node_modules/.cache/abstractruntime");

/** Fetching the packages takes seconds; a registry that does not answer should not delay a test for longer. */
const INSTALL_TIMEOUT_MS = 60_000;

/** The oldest Python that the pinned protobuf supports and that has `match`. */
const PYTHON_VERSION_MIN = [3, 10] as const;

export type ClientLanguage = "python" | "go";

/** `env` puts the language's programs, with all packages at the pinned versions, first on PATH. */
export type Toolchain = { env: NodeJS.ProcessEnv } | { missing: string };

export const prepareToolchain: Readonly<Record<ClientLanguage, () => Promise<Toolchain>>> = {
  python: preparePython,
  go: prepareGo,
};

/**
 * A virtual environment with the packages of sdk-python/requirements-generate.txt.
 *
 * It is created under another name and then renamed, so that it is always complete, even if two processes create it at
 * the same time.
 */
async function preparePython(): Promise<Toolchain> {
  const version = /^Python (\d+)\.(\d+)/.exec((await run("python3", ["--version"])).output);
  if (version === null) return { missing: "no python" };
  const [major, minor] = [Number(version[1]), Number(version[2])];
  if (major !== PYTHON_VERSION_MIN[0] || minor < PYTHON_VERSION_MIN[1]) {
    return { missing: `no python ${PYTHON_VERSION_MIN.join(".")} or newer` };
  }
  const names = ["requirements.txt", "requirements-generate.txt"].map((name) =>
    path.join(REPOSITORY, "sdk-python", name),
  );
  const pinned = await Promise.all(names.map((name) => readFile(name)));
  const digest = createHash("sha256").update(Buffer.concat(pinned)).digest("hex").slice(0, 16);
  const home = path.join(CLIENT_CACHE, `python-${major}.${minor}-${digest}`);
  if (!existsSync(home)) {
    const making = `${home}-${process.pid}`;
    await mkdir(CLIENT_CACHE, { recursive: true });
    const pip = [
      path.join(making, "bin/python"),
      "-m",
      "pip",
      "install",
      "--quiet",
      "--requirement",
      names[1]!,
    ] as const;
    const made = await run("python3", ["-m", "venv", making]);
    const installed = made.failed ? made : await run(pip[0], pip.slice(1));
    if (installed.failed) {
      await rm(making, { recursive: true, force: true });
      return { missing: `no python packages (${lastLine(installed.output)})` };
    }
    await rename(making, home).catch((error: unknown) => {
      if (!existsSync(home)) throw error;
    });
    await rm(making, { recursive: true, force: true });
  }
  return { env: { ...process.env, PATH: `${path.join(home, "bin")}${path.delimiter}${process.env["PATH"]}` } };
}

/** Downloads the modules that sdk-go/go.mod requires into Go's own cache. */
async function prepareGo(): Promise<Toolchain> {
  // Only the installed Go: another version would be a large download.
  const env = { ...process.env, GOTOOLCHAIN: "local", GOFLAGS: "-mod=readonly -buildvcs=false" };
  if ((await run("go", ["version"], env)).failed) return { missing: "no go" };
  const downloaded = await run("go", ["mod", "download"], env, path.join(REPOSITORY, "sdk-go"));
  if (downloaded.failed) return { missing: `no go modules (${lastLine(downloaded.output)})` };
  return { env };
}

type Ended = { failed: boolean; output: string };

function run(program: string, args: readonly string[], env = process.env, cwd = REPOSITORY): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(program, args, { env, cwd, timeout: INSTALL_TIMEOUT_MS }, (error, stdout, stderr) => {
      resolve({ failed: error !== null, output: `${stdout}${stderr}`.trim() });
    });
  });
}

function lastLine(output: string): string {
  return output.split("\n").at(-1) ?? "";
}
