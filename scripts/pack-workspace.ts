/**
 * Prepares a workspace for `npm pack` and `npm publish`, which run this in its folder (`prepack`, `postpack`): the
 * package contains plain JavaScript with types, while the checkout runs from its sources.
 *
 * `prepare` compiles the modules in `exports` and `imports` of package.json into `dist`, and writes a package.json that
 * names the output instead; it keeps a copy of the original. `restore` undoes both. After an interrupted pack, the copy
 * still exists, and the next pack refuses.
 */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/** The modules that package.json names: a path, or paths by condition. */
type Targets = { [name: string]: string | Targets };
type Manifest = { name: string; exports?: Targets; imports?: Targets };

const MANIFEST = "package.json";
const KEPT = "package.json.kept";
const LICENSE = "LICENSE";
const OUTPUT = "dist";
/** The folder of sources and the module in it, which may be a pattern. */
const SOURCE = /^\.\/(src|gen)\/(.+)\.ts$/;

switch (process.argv[2]) {
  case "prepare":
    prepare();
    break;
  case "restore":
    restore();
    break;
  default:
    throw new Error("usage: pack-workspace.ts prepare|restore, in the folder of a workspace");
}

function prepare(): void {
  const manifest = JSON.parse(readFileSync(MANIFEST, "utf8")) as Manifest;
  if (existsSync(KEPT)) {
    const undo = `npm run postpack --workspace ${manifest.name}`;
    console.error(
      `${KEPT} exists: another pack is running, or one was interrupted. If none is running, \`${undo}\` cleans up.`,
    );
    process.exit(1);
  }
  rmSync(OUTPUT, { recursive: true, force: true });
  compile([manifest.exports, manifest.imports].flatMap((targets) => (targets === undefined ? [] : sourcesOf(targets))));
  copyFileSync(MANIFEST, KEPT);
  copyFileSync(join("..", LICENSE), LICENSE);
  writeFileSync(MANIFEST, `${JSON.stringify(packedManifest(manifest), null, 2)}\n`);
}

function restore(): void {
  if (!existsSync(KEPT)) return;
  renameSync(KEPT, MANIFEST);
  rmSync(LICENSE, { force: true });
  rmSync(OUTPUT, { recursive: true, force: true });
}

/** Compiles these modules and the modules of the workspace that they import, but no tests. */
function compile(sources: readonly string[]): void {
  const [, folder] = SOURCE.exec(sources[0] ?? "") ?? [];
  const options = {
    noEmit: false,
    declaration: true,
    // Imports name the sources, `./run.ts`; in the output they become `./run.js`.
    rewriteRelativeImportExtensions: true,
    rootDir: join("..", folder ?? ""),
    outDir: ".",
  };
  mkdirSync(OUTPUT);
  const project = join(OUTPUT, "tsconfig.json");
  const files = sources.flatMap((source) => globSync(source)).map((file) => join("..", file));
  writeFileSync(
    project,
    JSON.stringify({ extends: "../../tsconfig.json", compilerOptions: options, files, include: [] }),
  );
  const { status } = spawnSync("tsc", ["--project", project], { stdio: ["ignore", "inherit", "inherit"] });
  rmSync(project);
  if (status !== 0) throw new Error("the sources do not compile");
  for (const file of globSync(join(OUTPUT, "**/*.d.ts")))
    writeFileSync(file, withOutputImports(readFileSync(file, "utf8")));
}

/** The compiler leaves `./run.ts` in declarations: TypeScript resolves that to run.d.ts, but other tools do not. */
function withOutputImports(declarations: string): string {
  return declarations.replaceAll(/((?:from|import\(|import) ?"\.\.?\/[^"]*)\.ts"/g, '$1.js"');
}

function sourcesOf(targets: Targets): string[] {
  return Object.values(targets).flatMap((target) => (typeof target === "string" ? [target] : sourcesOf(target)));
}

/** The scripts stay: after an interrupted pack the next one needs them to refuse, and an installation does not run
 *  them. */
function packedManifest({ exports, imports, ...manifest }: Manifest): Manifest {
  return {
    ...manifest,
    ...(exports === undefined ? {} : { exports: packedTargets(exports) }),
    ...(imports === undefined ? {} : { imports: packedTargets(imports) }),
  };
}

function packedTargets(targets: Targets): Targets {
  const entries = Object.entries(targets).map(([name, target]): [string, Targets] => [
    name,
    typeof target === "string" ? outputOf(target) : packedTargets(target),
  ]);
  return Object.fromEntries(entries);
}

function outputOf(source: string): Targets {
  const [, , module] = SOURCE.exec(source) ?? [];
  if (module === undefined) throw new Error(`${source} is not a module in src or gen`);
  return { types: `./${OUTPUT}/${module}.d.ts`, default: `./${OUTPUT}/${module}.js` };
}
