/**
 * The demo as a user runs it, in a process of its own: on a small folder, on this repository, interrupted, and with
 * unusable input.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";

import { afterAll, describe, expect, test } from "vitest";

import { countMarks } from "../../examples/report/marks.ts";
import { outlineText } from "../../examples/report/outline.ts";
import { draftSection, inBytes } from "../../examples/report/sections.ts";
import { surveyFiles } from "../../examples/report/survey.ts";
import { createApi } from "../conformance/api.ts";
import { startServerProcess } from "../conformance/server.ts";
import { verifyLedger } from "../verifier/verify-ledger.ts";

const DEMO = resolve(import.meta.dirname, "../../examples/report/demo.ts");
/** A quiet machine needs 15 s to 25 s, of which 5 s are the lease of the killed worker. */
const TIMEOUT_MS = 600_000;

const scratch = mkdtempSync(join(tmpdir(), "abstractruntime-report-test-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Starts the demo with the temporary folder `temporary`, by which all of its processes can be found. */
function startDemo(temporary: string, ...args: string[]) {
  const env = { ...process.env, TMPDIR: temporary, INIT_CWD: scratch };
  return spawn(process.execPath, [DEMO, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
}

async function runDemo(temporary: string, ...args: string[]) {
  const child = startDemo(temporary, ...args);
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { stdout, stderr, code: child.exitCode };
}

function makeFolder(name: string): string {
  const folder = join(scratch, name);
  mkdirSync(folder);
  return folder;
}

function namesIn(folder: string): Set<string> {
  return new Set(readdirSync(folder, { recursive: true, encoding: "utf8" }));
}

/** The command lines of the processes that have this temporary folder, or name it. */
function processesOf(temporary: string): string[] {
  const read = (file: string) => {
    try {
      return readFileSync(file, "utf8").replaceAll("\0", " ");
    } catch {
      // It has ended in the meantime, or belongs to another user.
      return "";
    }
  };
  if (!existsSync("/proc")) {
    const { stdout } = spawnSync("ps", ["-A", "-o", "command="], { encoding: "utf8" });
    return stdout.split("\n").filter((command) => command.includes(temporary));
  }
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => ({ command: read(`/proc/${pid}/cmdline`), environment: read(`/proc/${pid}/environ`) }))
    .filter(({ command, environment }) => command.includes(temporary) || environment.includes(`TMPDIR=${temporary} `))
    .map(({ command }) => command);
}

function summaryOf(stdout: string): Record<string, unknown> {
  // One line, and nothing else.
  expect(stdout).toMatch(/^\{.*\}\n$/);
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** The run's ledger, read by a server on the data that the demo has left. */
async function verifyData(dataDir: string, runId: string) {
  const server = await startServerProcess({ env: { ABSTRACTRUNTIME_DATA_DIR: dataDir } });
  try {
    const api = createApi(server);
    const { run } = await api.call("GetRun", { runId });
    const records: unknown[] = [];
    while (records.length < run.seq) {
      const request = { runId, afterSeq: records.length, includeProof: true };
      const { stepRecords = [] } = await api.call("ListStepRecords", request);
      expect(stepRecords).not.toEqual([]);
      records.push(...stepRecords);
    }
    return { run, verification: verifyLedger(records, run) };
  } finally {
    await server.stop();
  }
}

describe("the demo", () => {
  test(
    "reports on a folder, whatever is in it, through a kill of worker and server",
    { timeout: TIMEOUT_MS },
    async () => {
      const folder = makeFolder("folder");
      const temporary = makeFolder("temporary-1");
      const files: Record<string, string> = {
        "README.md": "# Title\n\nText.\n\n```sh\n# no heading\n```\n\n## Second\n",
        "src/main.ts": "// TODO: write it\nconst a = 1;\n// FIXME\n",
        "src/empty.ts": "",
        "odd `name`\n.txt": "one\ntwo",
        "data.dat": "\0\u0001\u0002",
        "text-that-is-none.c": "a\0b",
      };
      mkdirSync(join(folder, "src"));
      for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
      writeFileSync(join(scratch, "secret.md"), "# Secret\n");
      symlinkSync("../secret.md", join(folder, "link.md"));
      const namesBefore = namesIn(folder);

      const { stdout, stderr, code } = await runDemo(temporary, "folder", "--yes", "--json", "--out", "out");
      expect({ code, stderr }).toMatchObject({ code: 0 });
      const summary = summaryOf(stdout);
      const runId = summary["runId"] as string;
      const records = summary["records"] as number;
      expect(summary).toEqual({ runId, serverKills: 1, workerKills: 1, records, chain: "ok" });
      expect(stderr.match(/SIGKILL/g)).toHaveLength(2);
      expect(stderr).not.toContain("FAILED");
      expect(processesOf(temporary)).toEqual([]);

      // Nothing was written into the folder.
      expect(namesIn(folder)).toEqual(namesBefore);
      const report = readFileSync(join(scratch, "out/report.md"), "utf8");
      const bytes = Object.values(files).reduce((sum, content) => sum + Buffer.byteLength(content), 0);
      expect(report).toContain(`# folder\n`);
      expect(report).toContain(`6 files in 2 folders, ${inBytes(bytes)}. 1 link or other thing beside them.`);
      expect(report).toContain(
        "3 texts were read for this report. 1 could not be: `text-that-is-none.c` (FILE_NOT_TEXT).",
      );
      expect(report).toContain("| `odd 'name'·.txt` | 2 | 2 | 3 |");
      expect(report).toContain("- `README.md`: Title · Second\n");
      expect(report).toContain("TODO in 1 line, FIXME in 1 line, of 4 files.");
      expect(report).not.toContain("Secret");

      const dataDir = /--data-dir (.*)/.exec(stderr)?.[1] ?? "";
      const { run, verification } = await verifyData(dataDir, runId);
      expect(verification).toMatchObject({ ok: true, problems: [], notes: [], records, stateChecked: true });
      expect(run.output).toEqual({
        written: true,
        report: { path: join(scratch, "out/report.md"), size: Buffer.byteLength(report) },
      });
    },
  );

  test("reports on this repository, if no folder is named", { timeout: TIMEOUT_MS }, async () => {
    const temporary = makeFolder("temporary-2");
    const { stdout, stderr, code } = await runDemo(temporary, "--yes", "--json");
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(summaryOf(stdout)).toMatchObject({ serverKills: 1, workerKills: 1, chain: "ok" });
    expect(processesOf(temporary)).toEqual([]);
    const reportFile = /The report: (.*)/.exec(stderr)?.[1] ?? "";
    expect(reportFile.startsWith(temporary)).toBe(true);
    const report = readFileSync(reportFile, "utf8");
    expect(report).toContain("- `README.md`: AbstractRuntime · ");
    expect(report).toMatch(/\| \.ts \| \d+ \|/);
  });

  test("leaves no process and no data behind when it is interrupted", { timeout: TIMEOUT_MS }, async () => {
    const temporary = makeFolder("temporary-3");
    const child = startDemo(temporary, "--yes");
    let shown = "";
    let running: string[] = [];
    const closed = once(child, "close");
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      const before = shown;
      shown += chunk;
      // In the middle: the worker is dead, the next one starts.
      const isMiddle = (output: string) => output.includes("SIGKILL to the tool worker");
      if (!isMiddle(shown) || isMiddle(before)) return;
      running = processesOf(temporary);
      child.kill("SIGINT");
    });
    await closed;
    expect({ code: child.exitCode, shown }).toMatchObject({ code: 130 });
    expect(shown).toContain("ended by SIGINT");
    // At least the demo, the server and the database.
    expect(running.length).toBeGreaterThanOrEqual(3);
    expect(processesOf(temporary)).toEqual([]);
    expect(readdirSync(temporary)).toEqual([]);
  });

  const refusals: readonly [what: string, args: string[], message: string][] = [
    ["a file", [DEMO, "--yes"], "is a file; name the folder that it is in"],
    ["a folder that does not exist", ["nowhere", "--yes"], "nowhere cannot be used: it does not exist"],
    ["two folders", [".", "..", "--yes"], "one folder at a time"],
    ["no terminal to ask at", [], "--yes"],
    ["an option that it does not know", ["--yes", "--fast"], "--fast"],
    ["an output folder that cannot be made", ["--yes", "--out", join(DEMO, "out")], "cannot be used"],
  ];
  test.each(refusals)("refuses %s, and starts nothing", async (_what, args, message) => {
    const temporary = mkdtempSync(join(scratch, "refused-"));
    const { stdout, stderr, code } = await runDemo(temporary, ...args);
    expect({ stdout, code }).toEqual({ stdout: "", code: 2 });
    expect(stderr).toContain(message);
    expect(readdirSync(temporary)).toEqual([]);
  });
});

describe("the report", () => {
  const entry = (path: string, size: number, type = "file") => ({ path, name: path.split("/").at(-1)!, type, size });
  const bounds = { filesMax: 40, bytesPerFile: 65_536 };

  test("reads READMEs first, then the largest, in rounds that fit into a payload", () => {
    const large = Array.from({ length: 12 }, (_, index) => entry(`src/file-${index}.c`, 100_000 + index));
    const entries = [
      ...large,
      entry("a/b/README.md", 5),
      entry("README", 5),
      entry("NOTES.txt", 5),
      entry("x.png", 9e9),
    ];
    const { rounds, files, folders } = surveyFiles({ entries, truncated: false }, bounds);
    expect({ files, folders }).toEqual({ files: 16, folders: 3 });
    expect(rounds.map((round) => round.length)).toEqual([7, 5, 3]);
    expect(rounds[0]?.slice(0, 4)).toEqual(["README", "a/b/README.md", "NOTES.txt", "src/file-11.c"]);
  });

  test("reads nothing if there is nothing to read", () => {
    const entries = [entry("empty", 0), entry("link", 3, "link"), entry("x.zip", 3)];
    const survey = surveyFiles({ entries, truncated: false }, bounds);
    expect(survey).toMatchObject({ files: 2, others: 1, bytes: 3, rounds: [] });
    const nothing = surveyFiles({ entries: [], truncated: false }, bounds);
    expect(draftSection({ section: "summary", survey: nothing, read: 0, unread: [] })).toContain("no files here");
  });

  test("says if it does not know everything", () => {
    const survey = surveyFiles({ entries: [entry("a.c", 1)], truncated: true }, bounds);
    const summary = draftSection({ section: "summary", survey, read: 1, unread: [] });
    expect(summary).toContain("1 file in 1 folder, 1 byte. There are more");
    expect(draftSection({ section: "marks", marked: countMarks(null) })).toContain("Not everything was searched");
    const outlines = [outlineText({ path: "a.c", text: "x\n", truncated: true })];
    expect(draftSection({ section: "longest", outlines })).toContain("| `a.c` | more than 1 | more than 1 | 1 |");
  });

  test("escapes everything from a file that could be Markdown", () => {
    const text = "# <b>[x](y)</b> | `z`\n";
    const outlines = [outlineText({ path: "a|`b`.md", text, truncated: false })];
    expect(draftSection({ section: "documents", outlines })).toContain(
      "`a|'b'.md`: \\<b\\>\\[x\\](y)\\</b\\> \\| \\`z\\`",
    );
    expect(draftSection({ section: "longest", outlines })).toContain("| `a\\|'b'.md` | 1 |");
  });

  test("counts lines as an editor does", () => {
    const lines = (text: string) => outlineText({ path: "a", text, truncated: false }).lines;
    expect(["", "a", "a\n", "a\nb", "\n\n"].map(lines)).toEqual([0, 1, 1, 2, 2]);
  });
});
