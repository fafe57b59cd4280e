/** README.md's own commands, run exactly as they are written there: a command that does not work cannot stay in it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ambientEnvironment, REPOSITORY } from "../conformance/server.ts";

const README = await readFile(`${REPOSITORY}/README.md`, "utf8");
/** What a checkout has of its own, or makes; the rest is linked into the folder of the test. */
const NOT_LINKED = new Set([".git", ".abstractruntime", "greet.yaml"]);

let folder: string;
let port: number;
let server: Server | undefined;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "abstractruntime-readme-"));
  for (const entry of await readdir(REPOSITORY)) {
    if (!NOT_LINKED.has(entry)) await symlink(path.join(REPOSITORY, entry), path.join(folder, entry));
  }
  port = await freePort();
});
afterAll(async () => {
  await server?.end("SIGTERM");
  await rm(folder, { recursive: true, force: true });
});

test("First run", { timeout: 300_000 }, async () => {
  const [start = "", yaml = "", client = ""] = codeOf("First run");
  expect(start).toBe("npm start");
  expect(README).toContain("in `greet.yaml`:");
  await writeFile(path.join(folder, "greet.yaml"), yaml);
  server = await startByHand(start);

  const commands = linesOf(client);
  const outputs: Record<string, string> = {};
  for (const command of commands) {
    const name = command.split(" ").slice(2, 4).join(" ");
    // "Between any two of these commands you may kill the server (`kill -9`) and start it again."
    if (name === "inbox") {
      await server.end("SIGKILL");
      server = await startByHand(start);
    }
    outputs[name] = await runByHand(command);
  }
  expect(Object.keys(outputs)).toEqual([
    "workflow register",
    "run start",
    "inbox",
    "run answer",
    "run get",
    "ledger list",
  ]);
  expect(outputs["workflow register"]).toContain("greet");
  expect(outputs["run start"]).toContain("first");
  expect(outputs["inbox"]).toContain("What is your name?");
  expect(outputs["run get"]).toContain("Hello, Ann!");
  expect(outputs["run get"]).toMatch(/completed/i);
  expect(outputs["ledger list"]).toContain("run.started");
  expect(outputs["ledger list"]).toContain("run.completed");
});

test("With curl alone", { timeout: 300_000 }, async () => {
  server ??= await startByHand("npm start");
  const lines = linesOf(codeOf("With curl alone")[0] ?? "").map((line) =>
    line.replace("127.0.0.1:7400", `127.0.0.1:${port}`),
  );
  const calls = lines.filter((line) => line.startsWith("call "));
  const prelude = lines.filter((line) => !line.startsWith("call ")).join("\n");
  const replies: Reply[] = [];
  for (const call of calls) {
    const waitId = replies.at(-1)?.waits?.[0]?.waitId ?? "";
    replies.push(JSON.parse(await runByHand(`${prelude}\n${call.replace("<waitId of the list>", waitId)}`)) as Reply);
  }
  expect(calls.map((call) => call.split(" ")[1])).toEqual([
    "StartRun",
    "AwaitRun",
    "ListWaits",
    "ResumeRun",
    "AwaitRun",
  ]);
  const [started, awaited, listed, resumed, done] = replies;
  expect(started?.run).toMatchObject({ runId: "second", workflowId: "greet" });
  expect(awaited?.run).toMatchObject({ status: "RUN_STATUS_WAITING", waiting: { prompt: "What is your name?" } });
  expect(listed?.waits).toMatchObject([{ runId: "second" }]);
  expect(resumed?.run).toMatchObject({ runId: "second" });
  expect(done?.run).toMatchObject({ status: "RUN_STATUS_COMPLETED", output: { message: "Hello, Bob!" } });
});

test("every npm script that it names exists", async () => {
  const { scripts } = JSON.parse(await readFile(`${REPOSITORY}/package.json`, "utf8")) as {
    scripts: Record<string, string>;
  };
  const named = [...README.matchAll(/npm (?:run ([\w:-]+)|(start|test)\b)/g)].map(
    ([, script, short]) => script ?? short ?? "",
  );
  expect(named).toEqual(expect.arrayContaining(["start", "test", "demo", "check"]));
  expect(Object.keys(scripts)).toEqual(expect.arrayContaining(named));
});

type Reply = { run?: object; waits?: { waitId: string }[] };

/** The code blocks below a heading. */
function codeOf(heading: string): string[] {
  const [, rest = ""] = README.split(`\n## ${heading}\n`);
  const [section = ""] = rest.split("\n## ");
  return [...section.matchAll(/```\w+\n(.*?)\n```/gs)].map(([, code = ""]) => code);
}

function linesOf(code: string): string[] {
  return code.split("\n").filter((line) => line.trim() !== "");
}

/** The environment of a new user's shell: without variables of the tests, and without the checkout's own Node. */
function environment(): Record<string, string | undefined> {
  const ambient = ambientEnvironment();
  const own = Object.entries(ambient).filter(([name]) => !/^(npm_|VITEST|NODE_|INIT_CWD)/.test(name));
  const programs = (ambient["PATH"] ?? "")
    .split(path.delimiter)
    .filter((directory) => !directory.includes("node_modules"));
  return {
    ...Object.fromEntries(own),
    PATH: programs.join(path.delimiter),
    ABSTRACTRUNTIME_LISTEN: `127.0.0.1:${port}`,
    ABSTRACTRUNTIME_URL: `http://127.0.0.1:${port}`,
  };
}

/** Runs a command that must succeed, and returns what it wrote to stdout. */
async function runByHand(command: string): Promise<string> {
  const child = spawn("bash", ["-c", command], { cwd: folder, env: environment(), stdio: ["ignore", "pipe", "pipe"] });
  const closed = once(child, "close") as Promise<[code: number]>;
  const [out, err, [code]] = await Promise.all([textOf(child.stdout), textOf(child.stderr), closed]);
  expect(code, `${command}\n${out}${err}`).toBe(0);
  return out;
}

type Server = {
  /** Ends it with everything that it started, and waits. */
  end(signal: NodeJS.Signals): Promise<void>;
};

async function startByHand(command: string): Promise<Server> {
  const child = spawn("bash", ["-c", command], {
    cwd: folder,
    env: environment(),
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  // A process may keep its pipes open after its end, so this waits for the processes and not for their output.
  const exited = once(child, "exit");
  await Promise.race([
    untilListening(child),
    exited.then(() => {
      throw new Error(`${command} ended before it listened`);
    }),
  ]);
  return {
    async end(signal) {
      process.kill(-child.pid!, signal);
      await exited;
      await untilGone(child.pid!);
    },
  };
}

/** It goes on reading afterwards: a server whose log is not read would fail. */
function untilListening(child: ChildProcess): Promise<void> {
  let seen = "";
  return new Promise((resolve) => {
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      seen += text;
      if (seen.includes('"listening"')) resolve();
    });
    child.stdout?.resume();
  });
}

/** Waits until no process of a group is left: a server that is still stopping would be in the way of the next one. */
async function untilGone(group: number): Promise<void> {
  for (;;) {
    try {
      process.kill(-group, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}
