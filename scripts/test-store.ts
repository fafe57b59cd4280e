/**
 * The suite that every store passes: `npm run test:store [-- memory|postgres] [-t name]`.
 *
 * With a store's name, on that store alone; memory needs no database and takes seconds. `-t` names a group or a test
 * of the suite: `npm run test:store -- postgres -t mail`.
 */
import { spawnSync } from "node:child_process";
import { readOptions } from "./read-options.ts";

const STORES = {
  memory: ["--project", "memory", "server/src/store/memory/store.test.ts"],
  postgres: ["--project", "system", "server/src/store/postgres/store.test.ts"],
};
type StoreName = keyof typeof STORES;

const { values, positionals } = readOptions("npm run test:store [-- memory|postgres] [-t name]", {
  options: { testNamePattern: { type: "string", short: "t", default: "" } },
  allowPositionals: true,
});
for (const name of positionals) {
  if (Object.hasOwn(STORES, name)) continue;
  console.error(`There is no store ${JSON.stringify(name)}: name memory or postgres, or neither for both.`);
  process.exit(2);
}
const named = positionals.length === 0 ? Object.keys(STORES) : positionals;
for (const name of named as StoreName[]) {
  // What the shared suite describes is named "store: <which>"; the files have tests of their own beside it.
  const pattern = `^store: .*${values.testNamePattern}`;
  const { status } = spawnSync("vitest", ["run", ...STORES[name], "-t", pattern], { stdio: "inherit" });
  if (status !== 0) process.exitCode = status ?? 1;
}
