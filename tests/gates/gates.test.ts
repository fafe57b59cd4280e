/**
 * A gate counts once it has been seen failing. Here each gate of `npm run check` passes on the tree as it is, and then
 * refuses one bad change after another and names it. Everything happens in a copy, so other changes in the work tree
 * are left alone.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { prepareToolchain } from "../../scripts/client-languages.ts";

const root = join(import.meta.dirname, "../..");
const copy = mkdtempSync(join(tmpdir(), "abstractruntime-gates-"));

/**
 * Variables that the outer npm and vitest set for their children would reach the gates of the copy, so those start with
 * a plain environment.
 */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(npm_|VITEST|NODE_ENV$|NODE_OPTIONS$)/i.test(name)),
);

/** The contents from before a patch, by path; undefined if there was no file. */
const unpatched = new Map<string, Buffer | undefined>();

/**
 * Copies the files that git knows or would add. The packages are shared, but the workspaces' links point into the copy.
 */
function copyTree(): void {
  const listed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  });
  for (const path of listed.split("\0")) {
    if (path !== "" && existsSync(join(root, path)))
      cpSync(join(root, path), join(copy, path), { verbatimSymlinks: true });
  }
  const scope = join(copy, "node_modules/@abstractruntime");
  mkdirSync(scope, { recursive: true });
  for (const name of readdirSync(join(root, "node_modules"))) {
    if (name === "@abstractruntime" || name === ".cache") continue;
    symlinkSync(join(root, "node_modules", name), join(copy, "node_modules", name));
  }
  // What the proto gate installs for the clients of other languages; installing it again would take 10 s for each copy.
  const clients = join(root, "node_modules/.cache/abstractruntime");
  mkdirSync(clients, { recursive: true });
  mkdirSync(join(copy, "node_modules/.cache"));
  symlinkSync(clients, join(copy, "node_modules/.cache/abstractruntime"));
  // npm's links are relative, so the same ones lead into the copy.
  for (const name of readdirSync(join(root, "node_modules/@abstractruntime")))
    symlinkSync(readlinkSync(join(root, "node_modules/@abstractruntime", name)), join(scope, name));
  // The tools read .gitignore only inside a repository.
  execFileSync("git", ["init", "--quiet"], { cwd: copy });
}

function write(path: string, content: string): void {
  const file = join(copy, path);
  if (!unpatched.has(path)) unpatched.set(path, existsSync(file) ? readFileSync(file) : undefined);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

function edit(path: string, change: (content: string) => string): void {
  const before = readFileSync(join(copy, path), "utf8");
  const after = change(before);
  expect(after, `the patch of ${path} changes nothing`).not.toBe(before);
  write(path, after);
}

function restore(): void {
  for (const [path, content] of unpatched) {
    if (content === undefined) rmSync(join(copy, path));
    else writeFileSync(join(copy, path), content);
  }
  unpatched.clear();
}

async function runScript(
  script: string,
  ...args: string[]
): Promise<{ exitCode: number | null; stdout: string; output: string }> {
  const child = spawn("npm", ["run", "--silent", script, "--", ...args], {
    cwd: copy,
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { exitCode: child.exitCode, stdout, output: stdout + stderr };
}

async function expectRefusal(gate: string, ...reasons: (string | RegExp)[]): Promise<void> {
  const { exitCode, output } = await runScript(`check:${gate}`);
  for (const reason of reasons) expect(output).toMatch(reason);
  expect(exitCode).toBeGreaterThan(0);
}

/** Faults that the linter must find, each in a file of its own. */
const lintFaults: { fault: string; content: string; rule: RegExp }[] = [
  {
    fault: "a floating promise",
    content: "async function probe(): Promise<void> {}\nprobe();\n",
    rule: /no-floating-promises/,
  },
  {
    fault: "a promise where a boolean is meant",
    content:
      "export async function probe(ready: Promise<boolean>): Promise<number> {\n" +
      "  if (ready) return 1;\n  return 2;\n}\n",
    rule: /no-misused-promises/,
  },
  {
    fault: "any",
    content: "export function probe(value: any): void {\n  String(value);\n}\n",
    rule: /no-explicit-any/,
  },
  {
    fault: "an unused variable",
    content: "const probe = 1;\nexport {};\n",
    rule: /no-unused-vars/,
  },
  {
    fault: "a switch that misses a case",
    content:
      'export function probe(status: "RUNNING" | "FAILED"): number {\n' +
      '  switch (status) {\n    case "RUNNING":\n      return 1;\n  }\n  return 2;\n}\n',
    rule: /switch-exhaustiveness-check/,
  },
  {
    fault: "a type imported as a value",
    content: 'import { Json } from "./json.ts";\n\nexport const probe: Json = null;\n',
    rule: /consistent-type-imports/,
  },
  {
    fault: "an import cycle",
    content: 'import "./CYCLE.ts";\n\nexport const probe = 1;\n',
    rule: /no-cycle/,
  },
  {
    fault: "a circle of types only",
    content: 'import type { Other } from "./TYPE-CIRCLE.ts";\n\nexport type Probe = { other?: Other };\n',
    rule: /no-cycle/,
  },
  {
    fault: "a barrel",
    content: 'export * from "./errors.ts";\n',
    rule: /no-barrel-file/,
  },
  {
    fault: "a waiver that waives nothing",
    content: "// oxlint-disable-next-line no-debugger\nexport const probe = 1;\n",
    rule: /Unused .*disable directive/,
  },
  ...["Date.now()", "Math.random()", "process.pid", "performance.now()"].map((impure) => ({
    fault: `${impure} in core`,
    content: `export const probe = ${impure};\n`,
    rule: /Layers: core (is pure|has no)/,
  })),
];

/** Imports between layers that are forbidden; the messages are those of .oxlintrc.json. */
const layerFaults: { folder: string; imports: string; reason: string }[] = [
  { folder: "core", imports: "../store/contract/store.ts", reason: "core imports only core and pure libraries" },
  { folder: "core", imports: "../engine/probe.ts", reason: "core imports only core and pure libraries" },
  { folder: "core", imports: "../runtime/probe.ts", reason: "core imports only core and pure libraries" },
  { folder: "core", imports: "../config.ts", reason: "core knows neither the process nor its configuration" },
  { folder: "core", imports: "postgres", reason: "core imports only core and pure libraries" },
  { folder: "core", imports: "node:fs", reason: "core imports only core and pure libraries" },
  { folder: "core", imports: "@abstractruntime/proto/run_pb", reason: "core imports only core and pure libraries" },
  { folder: "store", imports: "../engine/probe.ts", reason: "store imports only store and core" },
  { folder: "store/postgres", imports: "../../rpc/probe.ts", reason: "store imports only store and core" },
  {
    folder: "store",
    imports: "@abstractruntime/proto/run_pb",
    reason: "below rpc nothing imports the generated messages",
  },
  ...["../store/contract/store.ts", "../engine/probe.ts", "../core/errors.ts", "../config.ts"].map((imports) => ({
    folder: "embedded-postgres",
    imports,
    reason: "embedded-postgres imports nothing else of the server",
  })),
  {
    folder: "store/postgres",
    imports: "../../embedded-postgres/database-error.ts",
    reason: "store imports only store and core",
  },
  {
    folder: "rpc",
    imports: "../embedded-postgres/database-error.ts",
    reason: "rpc imports only rpc, engine, core",
  },
  {
    folder: "store",
    imports: "../wait-for-database.ts",
    reason: "configuration is read in main and handed down",
  },
  { folder: "engine", imports: "../rpc/probe.ts", reason: "engine imports only engine, store and core" },
  { folder: "engine", imports: "../cli/probe.ts", reason: "engine imports only engine, store and core" },
  {
    folder: "engine",
    imports: "@abstractruntime/proto/run_pb",
    reason: "below rpc nothing imports the generated messages",
  },
  { folder: "engine", imports: "../../../proto/gen/abstractruntime/v1/run_pb.ts", reason: "below rpc nothing imports" },
  {
    folder: "engine",
    imports: "../store/postgres/probe.ts",
    reason: "engine knows the store's contract, not an implementation",
  },
  { folder: "rpc", imports: "../store/contract/store.ts", reason: "rpc never imports store" },
  { folder: "rpc", imports: "../config.ts", reason: "main starts rpc and hands it its configuration" },
  { folder: "rpc", imports: "../engine/workers/pool.ts", reason: "rpc knows what engine shows at its top" },
  { folder: "rpc", imports: "../cli/probe.ts", reason: "rpc imports only rpc, engine, core" },
  { folder: "cli", imports: "../engine/probe.ts", reason: "cli is a client of the contract" },
  { folder: "cli", imports: "../store/contract/store.ts", reason: "cli is a client of the contract" },
];

beforeAll(copyTree);

afterEach(restore);

afterAll(() => rmSync(copy, { recursive: true, force: true }));

test("the tree as it is passes every gate", { timeout: 600_000 }, async () => {
  const { exitCode, output } = await runScript("check");
  expect(output).toMatch(/All \d+ gates passed/);
  expect(exitCode).toBe(0);
});

test("a refused gate makes the whole check fail and is named in its summary", { timeout: 600_000 }, async () => {
  write("server/src/core/probe.ts", "export const probe: number = 1\n");
  const { exitCode, output } = await runScript("check");
  expect(output).toMatch(/REFUSED format/);
  expect(output).toMatch(/gates refused: .*format/);
  expect(exitCode).toBe(1);
});

describe("format", () => {
  test("refuses badly formatted TypeScript", async () => {
    write("server/src/core/probe.ts", "export const probe = {a:1}\n");
    await expectRefusal("format", "server/src/core/probe.ts");
  });

  test("refuses a badly formatted contract", async () => {
    edit("proto/abstractruntime/v1/run.proto", (content) => content.replace(/^ {2}/m, "      "));
    await expectRefusal("format", "run.proto");
  });
});

describe("lines", () => {
  test.each([
    { kind: "a comment", line: `// ${"word ".repeat(24)}` },
    { kind: "a line of SQL in a template", line: `\n    select ${"word, ".repeat(20)}` },
    { kind: "code", line: `const probe = [${"1, ".repeat(40)}];` },
  ])("refuses $kind of more than 120 columns", async ({ line }) => {
    write("server/src/core/probe.ts", `${line}\n`);
    await expectRefusal("lines", /server\/src\/core\/probe\.ts:[12]: \d+ columns/, "longer than 120 columns");
  });

  test("allows literals, imports and URLs, which cannot be broken", async () => {
    const long = "a".repeat(120);
    write(
      "server/src/core/probe.ts",
      `import type { Json } from "./${long}.ts";\n// https://example.com/${long}\nconst probe = "${long}";\n`,
    );
    const { exitCode, output } = await runScript("check:lines");
    expect(output).not.toContain("probe.ts");
    expect(exitCode).toBe(0);
  });
});

describe("lint", () => {
  /** What the linter reported about each probe, in one run over all of them: each run reads the whole tree. */
  const saidOf = new Map<string, string>();
  let exitCode: number | null = null;
  const lintProbe = (fault: string): string =>
    `server/src/core/lint-probe-${lintFaults.findIndex((candidate) => candidate.fault === fault)}.ts`;
  const layerProbe = (folder: string, imports: string): string =>
    `server/src/${folder}/layer-probe-${imports.replaceAll(/\W+/g, "-")}.ts`;

  beforeAll(async () => {
    for (const { fault, content } of lintFaults) {
      write(lintProbe(fault), content.replace("CYCLE", "lint-cycle").replace("TYPE-CIRCLE", "lint-type-circle"));
    }
    write(
      "server/src/core/lint-cycle.ts",
      `import "./${basename(lintProbe("an import cycle"))}";\n\nexport const cycle = 1;\n`,
    );
    write(
      "server/src/core/lint-type-circle.ts",
      `import type { Probe } from "./${basename(lintProbe("a circle of types only"))}";\n\n` +
        "export type Other = { probe?: Probe };\n",
    );
    for (const { folder, imports } of layerFaults) write(layerProbe(folder, imports), `import "${imports}";\n`);
    const report = await runScript("check:lint", "--format=json");
    exitCode = report.exitCode;
    const { diagnostics } = JSON.parse(report.stdout) as {
      diagnostics: { filename: string; code?: string; message: string; help?: string }[];
    };
    for (const { filename, code, message, help } of diagnostics) {
      saidOf.set(filename, `${saidOf.get(filename) ?? ""}${code} ${message} ${help}\n`);
    }
    restore();
  });

  test("fails", () => {
    expect(exitCode).toBe(1);
  });

  test.each(lintFaults)("refuses $fault", ({ fault, rule }) => {
    expect(saidOf.get(lintProbe(fault))).toMatch(rule);
  });

  test.each(layerFaults)("refuses $folder importing $imports", ({ folder, imports, reason }) => {
    expect(saidOf.get(layerProbe(folder, imports))).toContain(`Layers: ${reason}`);
  });
});

test("types refuses a type error", async () => {
  write("server/src/core/probe.ts", 'export const probe: number = "one";\n');
  await expectRefusal("types", /server\/src\/core\/probe\.ts.*TS2322/);
});

describe("dead code", () => {
  test("refuses an unused file, an unused export and an unused dependency", async () => {
    write("server/src/core/probe.ts", "export const probe = 1;\n");
    edit("server/src/core/errors.ts", (content) => `${content}\nexport const deadProbe = 1;\n`);
    edit("server/package.json", (content) =>
      content.replace('"dependencies": {', '"dependencies": {\n    "dead-dependency": "1.0.0",'),
    );
    await expectRefusal("dead", "server/src/core/probe.ts", "deadProbe", "dead-dependency");
  });

  test.each(["server", "sdk-ts", "tool-worker"])("refuses a test room in the sources of %s", async (workspace) => {
    write(`${workspace}/src/probe.ts`, "export const probe = 1;\n");
    write(`${workspace}/src/probe.test.ts`, 'import { probe } from "./probe.ts";\n\nString(probe);\n');
    await expectRefusal("dead", `${workspace}/src/probe.ts`);
  });
});

describe("proto", () => {
  test.for([
    ["python", "sdk-python/abstractruntime/v1/run_pb2.py"],
    ["go", "sdk-go/abstractruntime/v1/run.pb.go"],
  ] as const)("refuses %s code that the contract does not generate", async ([language, path], { skip }) => {
    const toolchain = await prepareToolchain[language]();
    if ("missing" in toolchain) skip(`skipped: ${toolchain.missing}`);
    edit(path, (code) => code.replace("run_id", "runid"));
    await expectRefusal("proto", /differs: +v1\/run/, `run npm run generate:${language}`);
  });

  test("refuses a message against the lint rules", async () => {
    write(
      "proto/abstractruntime/v1/probe.proto",
      'syntax = "proto3";\n\npackage abstractruntime.v1;\n\nmessage probe {}\n',
    );
    await expectRefusal("proto", /probe\.proto:.*PascalCase/, "buf lint found problems in the contract");
  });

  test("refuses a change that breaks released clients", async () => {
    write("proto/released.binpb", "");
    expect(await runScript("release:proto")).toMatchObject({ exitCode: 0 });
    edit("proto/abstractruntime/v1/run.proto", (content) =>
      content.replace(/string run_id = (\d+)/, "string other_id = $1"),
    );
    await expectRefusal("proto", "run_id", "The contract breaks clients of the released contract");
  });

  test("refuses a released version without its image", async () => {
    execFileSync(
      "git",
      [
        "-c",
        "user.name=gate",
        "-c",
        "user.email=gate@localhost",
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "Release",
      ],
      {
        cwd: copy,
      },
    );
    execFileSync("git", ["tag", "v0.0.1"], { cwd: copy });
    const removeTag = (): Buffer => execFileSync("git", ["tag", "--delete", "v0.0.1"], { cwd: copy });
    if (existsSync(join(copy, "proto/released.binpb"))) {
      unpatched.set("proto/released.binpb", readFileSync(join(copy, "proto/released.binpb")));
      rmSync(join(copy, "proto/released.binpb"));
    }
    await expectRefusal("proto", "proto/released.binpb is missing").finally(removeTag);
  });

  test("refuses generated code that was edited", async () => {
    edit("proto/gen/abstractruntime/v1/run_pb.ts", (content) => `${content}// edited\n`);
    await expectRefusal("proto", /differs: +abstractruntime\/v1\/run_pb\.ts/);
  });

  test("refuses core's types, bounds and schema after a bound of the contract has changed", async () => {
    edit("proto/abstractruntime/v1/effects.proto", (content) =>
      content.replace("max_bytes: 16384", "max_bytes: 16385"),
    );
    await expectRefusal(
      "proto",
      "server/src/core/graph/gen does not match the contract",
      /differs: +bounds\.ts/,
      /differs: +step-plan-schema\.ts/,
    );
  });

  test("refuses a rule of the contract that core's bounds cannot hold", async () => {
    edit("proto/abstractruntime/v1/effects.proto", (content) =>
      content.replace("this.contains('${') || this.size() <= 256", "this.contains('${') || this.size() != 256"),
    );
    await expectRefusal("proto", "the rule assignee has a form that protoc-gen-graph does not know");
  });

  test("refuses generated code that nothing generates any more", async () => {
    write("proto/gen/abstractruntime/v1/probe_pb.ts", "export {};\n");
    await expectRefusal("proto", /left over: +abstractruntime\/v1\/probe_pb\.ts/);
  });
});

describe("migrations", () => {
  const schema = "server/src/store/postgres/schema.ts";

  test("refuses a schema change without a migration", async () => {
    edit(
      schema,
      (content) =>
        `${content}\nimport { pgTable as probePgTable, text as probeText } from "drizzle-orm/pg-core";\n` +
        'export const probe = probePgTable("gate_probe", { probeId: probeText("probe_id").primaryKey() });\n',
    );
    await expectRefusal("migrations", "server/migrations does not match", /missing: +.*\.sql/);
  });

  test("refuses a renamed column, about which drizzle-kit would ask", async () => {
    edit(schema, (content) => content.replaceAll('"run_id"', '"renamed_id"'));
    await expectRefusal("migrations", "server/migrations does not match");
  });

  test("refuses a migration that is missing in the journal", async () => {
    edit("server/migrations/meta/_journal.json", (content) => JSON.stringify({ ...JSON.parse(content), entries: [] }));
    await expectRefusal("migrations", /not in the journal: .*\.sql/);
  });

  test("refuses a journal whose migration is missing", async () => {
    const journal = "server/migrations/meta/_journal.json";
    edit(journal, (content) => content.replace(/"tag": "/, '"tag": "9'));
    await expectRefusal("migrations", /in the journal, but missing: 9.*\.sql/);
  });
});

describe("the last line of a CI run", () => {
  const results = "probe-results.json";
  const counts = { numPassedTests: 3, numFailedTests: 0, numPendingTests: 1, numTodoTests: 0 };
  const green = { ...counts, testResults: [{ status: "passed", assertionResults: [{ status: "passed" }] }] };
  const notLoaded = { ...counts, testResults: [{ status: "failed", assertionResults: [] }] };
  const red = {
    ...counts,
    numFailedTests: 2,
    testResults: [{ status: "failed", assertionResults: [{ status: "failed" }] }],
  };

  test.each([
    {
      name: "everything passed",
      content: green,
      gates: 0,
      tests: 0,
      line: "3 passed, 0 failed, 1 skipped",
      exitCode: 0,
    },
    {
      name: "the gates refused",
      content: green,
      gates: 1,
      tests: 0,
      line: "3 passed, 1 failed, 1 skipped",
      exitCode: 1,
    },
    { name: "two tests failed", content: red, gates: 0, tests: 1, line: "3 passed, 2 failed, 1 skipped", exitCode: 1 },
    {
      name: "a file did not load",
      content: notLoaded,
      gates: 0,
      tests: 1,
      line: "3 passed, 1 failed, 1 skipped",
      exitCode: 1,
    },
    {
      name: "an error outside of any test",
      content: green,
      gates: 0,
      tests: 1,
      line: "3 passed, 1 failed, 1 skipped",
      exitCode: 1,
    },
    { name: "no results", content: "", gates: 0, tests: 1, line: "0 passed, 1 failed, 0 skipped", exitCode: 1 },
  ])("counts when $name", async ({ content, gates, tests, line, exitCode }) => {
    write(results, content === "" ? "" : JSON.stringify(content));
    const summary = await runScript("ci:summary", results, String(gates), String(tests));
    expect(summary.output.trimEnd().split("\n").at(-1)).toBe(line);
    expect(summary.exitCode).toBe(exitCode);
  });
});
