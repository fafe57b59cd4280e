/** Scripts refuse options that they do not have in one line, with exit code 2. */
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { FUZZ_NAMES } from "../support/fuzz-names.ts";

const PSQL_USAGE = 'Usage: npm run psql [-- --data-dir folder] [--command "select …"] [--prompt]';
const SIM_USAGE = "Usage: npm run sim [-- --seed 7] [--runs 100]";
const FUZZ_USAGE = "Usage: npm run fuzz [-- [--seconds 60 | --inputs 1000] [--seed 7] [target…]]";
const STORE_USAGE = "Usage: npm run test:store [-- memory|postgres] [-t name]";

/** What Node.js says if a script takes arguments, too. */
const NONSENSE =
  "Unknown option '--nonsense'. To specify a positional argument starting with a '-', place it at the end of the " +
  `command after '--', as in '-- "--nonsense".`;

test.each([
  ["psql", ["--nonsense"], `Unknown option '--nonsense'. ${PSQL_USAGE}`],
  ["psql", ["--command"], `Option '-c, --command <value>' argument missing. ${PSQL_USAGE}`],
  ["sim", ["--nonsense"], `Unknown option '--nonsense'. ${SIM_USAGE}`],
  ["sim", ["7"], `Unexpected argument '7'. This command does not take positional arguments. ${SIM_USAGE}`],
  // The message of Node.js has three lines.
  [
    "sim",
    ["--seed", "--runs"],
    "Option '--seed' argument is ambiguous. Did you forget to specify the option argument for '--seed'? " +
      `To specify an option argument starting with a dash use '--seed=-XYZ'. ${SIM_USAGE}`,
  ],
  ["fuzz", ["--nonsense"], `${NONSENSE} ${FUZZ_USAGE}`],
  ["fuzz", ["jsn"], `There is no target "jsn". Targets: ${FUZZ_NAMES.join(", ")}.`],
  ["fuzz", ["--seconds", "0"], '--seconds must be a whole number from 1, not "0".'],
  ["test-store", ["--nonsense"], `${NONSENSE} ${STORE_USAGE}`],
])("%s %j", (script, args, line) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`scripts/${script}.ts`, ...args], {
    encoding: "utf8",
  });
  expect({ status, stdout, stderr }).toEqual({ status: 2, stdout: "", stderr: `${line}\n` });
});
