/**
 * Around `npm pack` and `npm publish` of a workspace, which run this in its folder (`prepack`, `postpack`): the package holds plain
 * JavaScript with types, while the checkout runs from its sources.
 *
 * `prepare` compiles what `exports` and `imports` of package.json name into `dist`, and writes a package.json that names that instead;
 * the checkout's is kept beside it. `restore` undoes both. An interrupted pack leaves the kept file, and the next one refuses.
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

/** Where package.json names modules: a path, or paths by condition. */
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
    console.error(`${KEPT} is there: another pack runs, or one was interrupted. If none runs, \`${undo}\` cleans up.`);
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

/** Compiles these modules and what they import of the workspace; tests are not among them. */
function compile(sources: readonly string[]): void {
  const [, folder] = SOURCE.exec(sources[0] ?? "") ?? [];
  const options = {
    noEmit: false,
    declaration: true,
    // Imports name the sources, `./run.ts`; the output's name its own, `./run.js`.
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

/** The compiler leaves `./run.ts` in declarations: TypeScript finds run.d.ts by that, other tools do not. */
function withOutputImports(declarations: string): string {
  return declarations.replaceAll(/((?:from|import\(|import) ?"\.\.?\/[^"]*)\.ts"/g, '$1.js"');
}

function sourcesOf(targets: Targets): string[] {
  return Object.values(targets).flatMap((target) => (typeof target === "string" ? [target] : sourcesOf(target)));
}

/** Its scripts stay: after an interrupted pack they are what the next one refuses by, and nothing runs them at an installation. */
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
  if (module === undefined) throw new Error(`${source} is no module in src or gen`);
  return { types: `./${OUTPUT}/${module}.d.ts`, default: `./${OUTPUT}/${module}.js` };
}
