import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { Code } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";

import { fakeJob, refusal, startFakeServer } from "../../tests/support/fake-worker-server.ts";

const BIN = join(import.meta.dirname, "..", "bin", "abstractruntime-tool-worker.mjs");

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

function startProcess(args: string[], env: Record<string, string> = {}) {
  const child: ChildProcess = spawn(process.execPath, [BIN, ...args], {
    env: { ...process.env, ABSTRACTRUNTIME_URL: "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "exit") as Promise<[code: number | null, signal: string | null]>;
  cleanups.push(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  const lines: string[] = [];
  let onLine = Promise.withResolvers<void>();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream! }).on("line", (line) => {
      lines.push(line);
      onLine.resolve();
      onLine = Promise.withResolvers();
    });
  }
  return {
    child,
    exited,
    lines,
    async line(pattern: RegExp): Promise<string> {
      while (true) {
        const found = lines.find((line) => pattern.test(line));
        if (found !== undefined) return found;
        await onLine.promise;
      }
    },
  };
}

async function startServer(options?: Parameters<typeof startFakeServer>[0]) {
  const server = await startFakeServer(options);
  cleanups.push(() => server.close());
  return server;
}

function makeFolder(files: Record<string, string>): string {
  // Inside the package, so that modules find the SDK as a user's would.
  const folder = mkdtempSync(join(import.meta.dirname, "..", ".test-"));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

const TOOLS = `
import { tool } from "@abstractruntime/sdk";
const wait = Promise.withResolvers<void>();
export default [
  tool({ name: "wait" }, () => wait.promise),
  tool({ name: "release" }, () => wait.resolve()),
  tool({ name: "stray" }, (_args, { signal }) => {
    Promise.reject(new Error("a stray promise"));
    setTimeout(() => { throw new Error("a stray timer"); }, 1);
    signal.addEventListener("abort", () => { throw new Error("a stray listener"); });
    return new Promise(() => {});
  }),
];`;

describe("the process", () => {
  it("serves its tools, tells its health, survives what tools leave behind, and drains on SIGTERM", async () => {
    const server = await startServer();
    const folder = makeFolder({ "a.txt": "text", "my-tools.ts": TOOLS });
    const options = `--server ${server.url} --root ${folder} --tools ${join(folder, "my-tools.ts")} --health 127.0.0.1:0`;
    const { child, exited, line, lines } = startProcess(
      `${options} --name mine --actor-id me --concurrency 5`.split(" "),
    );
    const health = (JSON.parse(await line(/"health"/)) as { url: string }).url;
    const stream = await server.nextStream();
    expect(stream.hello).toMatchObject({ name: "mine", actorId: "me" });
    expect(stream.hello.tools.map(({ name }) => name)).toEqual([
      "list_files",
      "read_file",
      "search_text",
      "write_file",
      "fetch_url",
      "wait",
      "release",
      "stray",
    ]);
    expect((await fetch(health)).status).toBe(503);
    stream.welcome();
    await line(/"connected"/);
    const healthy = await fetch(health);
    expect([healthy.status, await healthy.json()]).toMatchObject([200, { state: "connected", connected: true }]);
    expect((await stream.take("credit")).jobs).toBe(5);

    stream.offer(fakeJob("stray", { name: "stray" }), fakeJob("wait", { name: "wait" }));
    await line(/a stray promise/);
    await line(/a stray timer/);
    stream.send({ case: "cancel", value: { tokens: ["stray"] } });
    await line(/a stray listener/);
    stream.offer(fakeJob("read", { name: "read_file", args: { path: "a.txt" } }));
    expect(await stream.takeResults(1)).toMatchObject([{ token: "read", output: { text: "text" } }]);

    child.kill("SIGTERM");
    await stream.take("drain");
    expect((await fetch(health)).status).toBe(503);
    stream.offer(fakeJob("release", { name: "release" }));
    const results = await stream.takeResults(2);
    expect(Object.fromEntries(results.map(({ token, output }) => [token, output]))).toEqual({
      release: null,
      wait: null,
    });
    stream.ack("read", "release", "wait");
    await stream.take("goodbye");
    expect(await exited).toEqual([0, null]);
    expect(lines.at(-1)).toMatch(/"stopped"/);
  });

  it("ends at once at the second signal, whatever runs", async () => {
    const server = await startServer();
    const folder = makeFolder({ "my-tools.ts": TOOLS });
    const { child, exited, line } = startProcess(["--tools", join(folder, "my-tools.ts")], {
      ABSTRACTRUNTIME_URL: `${server.url}, ${server.url}`,
    });
    const stream = await server.nextStream();
    stream.welcome();
    await line(/"connected"/);
    stream.offer(fakeJob("wait", { name: "wait" }));
    await stream.take("accept");
    child.kill("SIGINT");
    await stream.take("drain");
    child.kill("SIGTERM");
    expect(await exited).toEqual([143, null]);
  });

  it("stops at a signal while there is no server", async () => {
    const { child, exited, line } = startProcess(["--server", "http://127.0.0.1:1"]);
    await line(/cannot connect/);
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
  });

  it("exits with 1 if the server refuses it, or its health address is taken", async () => {
    const server = await startServer({ onHello: () => refusal("REQUEST_INVALID", Code.InvalidArgument) });
    const refused = startProcess(["--server", server.url]);
    expect(await refused.exited).toEqual([1, null]);
    expect(refused.lines.join("\n")).toContain("REQUEST_INVALID");
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { port: number };
    const busy = startProcess(["--server", server.url, "--health", `127.0.0.1:${port}`]);
    expect(await busy.exited).toEqual([1, null]);
    expect(busy.lines.join("\n")).toContain("EADDRINUSE");
    taken.close();
  });

  it.each<[string[], RegExp, Record<string, string>?]>([
    [["--server", "localhost:7400"], /must be a URL such as/],
    [["--server", "ftp://127.0.0.1/"], /must be a URL such as/],
    [[], /must be a URL such as/, { ABSTRACTRUNTIME_URL: "localhost:7400" }],
    [["--concurrency", "0"], /1 to 5000/],
    [["--health", "7401"], /must be host:port, such as 127.0.0.1:7401/],
    [["--actor-id", "a b"], /1 to 128 letters, digits/],
    [["--log-level", "loud"], /Allowed choices/],
    [["--nonsense"], /unknown option/],
    [["extra"], /too many arguments/],
    [["--root", "/nowhere"], /--root \/nowhere: /],
    [["--tools", "/nowhere.ts"], /\/nowhere\.ts: the module cannot be loaded/],
  ])("exits with 2 for %j", async (args, message, env) => {
    const { exited, lines } = startProcess(args, env);
    expect(await exited).toEqual([2, null]);
    expect(lines.join("\n")).toMatch(message);
  });

  it("explains itself", async () => {
    const help = startProcess(["--help"]);
    expect(await help.exited).toEqual([0, null]);
    expect(help.lines.join("\n")).toContain("Exit codes:");
    const version = startProcess(["--version"]);
    expect(await version.exited).toEqual([0, null]);
    expect(version.lines).toEqual(["0.1.0"]);
  });
});
