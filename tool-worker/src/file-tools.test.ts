import { execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker as Thread } from "node:worker_threads";

import type { JobContext, Tool } from "@abstractruntime/sdk";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { listFilesTool } from "./list-files.ts";
import { readFileTool } from "./read-file.ts";
import { openRoot } from "./root.ts";
import { searchTextTool } from "./search-text.ts";
import { writeFileTool } from "./write-file.ts";

type Call = (args: Record<string, string | number>, signal?: AbortSignal) => Promise<Record<string, unknown>>;

let base: string;
let root: string;
let list: Call;
let read: Call;
let search: Call;
let write: Call;

beforeEach(async () => {
  base = mkdtempSync(join(tmpdir(), "tool-worker-"));
  root = join(base, "root");
  mkdirSync(join(base, "outside"));
  writeFileSync(join(base, "outside", "secret.txt"), "secret");
  mkdirSync(root);
  const opened = await openRoot(root);
  [list, read, search, write] = [listFilesTool, readFileTool, searchTextTool, writeFileTool].map((make) =>
    callOf(make(opened)),
  ) as [Call, Call, Call, Call];
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

function callOf(made: Tool): Call {
  return (args, signal = new AbortController().signal) =>
    made.call(args, { signal } as JobContext) as Promise<Record<string, unknown>>;
}

function file(path: string, content: string | Buffer = ""): void {
  mkdirSync(join(root, path, ".."), { recursive: true });
  writeFileSync(join(root, path), content);
}

describe("paths", () => {
  const refusals: [string, string][] = [
    ["../outside/secret.txt", "PATH_REFUSED"],
    ["folder/../../outside/secret.txt", "PATH_REFUSED"],
    ["..", "PATH_REFUSED"],
    ["/etc/passwd", "PATH_REFUSED"],
    ["a\0b", "PATH_REFUSED"],
    ["x/".repeat(3_000), "PATH_REFUSED"],
    ["x/".repeat(65), "PATH_REFUSED"],
    ["x".repeat(300), "PATH_REFUSED"],
    ["link.txt", "NOT_A_FILE"],
    ["link/secret.txt", "NOT_A_FOLDER"],
    ["inner-link/a.txt", "NOT_A_FOLDER"],
    ["loop/x", "NOT_A_FOLDER"],
  ];

  it.each(refusals)("%j is refused by every tool", async (path, code) => {
    file("folder/a.txt", "a");
    symlinkSync(join(base, "outside", "secret.txt"), join(root, "link.txt"));
    symlinkSync(join(base, "outside"), join(root, "link"));
    symlinkSync("folder", join(root, "inner-link"));
    symlinkSync("loop", join(root, "loop"));
    await expect(read({ path })).rejects.toMatchObject({ code, nonRetryable: true });
    await expect(write({ path, content: "x" })).rejects.toMatchObject({ code, nonRetryable: true });
    const folderCode = code === "NOT_A_FILE" ? "NOT_A_FOLDER" : code;
    await expect(list({ path })).rejects.toMatchObject({ code: folderCode });
    await expect(search({ path, pattern: "secret" })).rejects.toMatchObject({ code });
    expect(readFileSync(join(base, "outside", "secret.txt"), "utf8")).toBe("secret");
    expect(readdirSync(join(base, "outside"))).toEqual(["secret.txt"]);
  });

  it("may be written in several ways", async () => {
    file("folder/a.txt", "a");
    for (const path of ["folder/a.txt", "./folder//a.txt", "folder/./a.txt"]) {
      expect(await read({ path })).toMatchObject({ path: "folder/a.txt", text: "a" });
    }
    file("...", "dots");
    expect(await read({ path: "..." })).toMatchObject({ text: "dots" });
  });

  it("of the machine are in no message", async () => {
    for (const path of ["none", "none/none"]) {
      const error: unknown = await read({ path }).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: "FILE_NOT_FOUND" });
      expect(String(error)).not.toMatch(/proc|tmp/);
    }
    await expect(read({ path: "" })).rejects.toMatchObject({ code: "PATH_REFUSED" });
  });

  it("keep their folders closed afterwards", async () => {
    file("a/b/c.txt", "c");
    const before = readdirSync("/proc/self/fd").length;
    for (let index = 0; index < 20; index++) {
      await read({ path: "a/b/c.txt" });
      await read({ path: "a/b/none" }).catch(() => {});
      await read({ path: "a/none/none" }).catch(() => {});
      await write({ path: "a/b/d.txt", content: "d" });
      await list({});
      await search({ pattern: "c" });
    }
    expect(readdirSync("/proc/self/fd").length).toBeLessThan(before + 5);
  });
});

describe("special files", () => {
  it("are refused at once, and passed over", async () => {
    // Node makes none itself.
    execFileSync("sh", ["-c", 'mkfifo "$0"', join(root, "fifo")]);
    const server = createServer().listen(join(root, "socket"));
    await once(server, "listening");
    file("plain.txt", "plain");
    for (const path of ["fifo", "socket"]) {
      await expect(read({ path })).rejects.toMatchObject({ code: "NOT_A_FILE" });
      await expect(write({ path, content: "x" })).rejects.toMatchObject({ code: "NOT_A_FILE" });
    }
    expect(await search({ pattern: "." })).toMatchObject({ files_searched: 1 });
    expect((await list({}))["entries"]).toMatchObject([{ type: "other" }, { type: "file" }, { type: "other" }]);
    server.close();
  });
});

describe("a link that is put in place of a folder meanwhile", () => {
  it("leads nobody out", async () => {
    // A thread swaps `inside` between a folder and a link to the outside, as fast as it can.
    file("inside/secret.txt", "inside");
    const swapper = new Thread(
      `
      const fs = require("node:fs"), { workerData, parentPort } = require("node:worker_threads");
      const { root, outside, state } = workerData, flag = new Int32Array(state);
      const inside = root + "/inside", kept = root + "/kept";
      // write_file makes the folder when it is away.
      const attempt = (change) => { try { change(); } catch {} };
      fs.renameSync(inside, kept);
      parentPort.postMessage("begun");
      while (Atomics.load(flag, 0) === 0) {
        if (fs.existsSync(kept)) attempt(() => fs.rmSync(inside, { recursive: true, force: true }));
        attempt(() => fs.symlinkSync(outside, inside));
        attempt(() => fs.unlinkSync(inside));
        attempt(() => fs.renameSync(kept, inside));
        attempt(() => fs.renameSync(inside, kept));
      }`,
      {
        eval: true,
        workerData: { root, outside: join(base, "outside"), state: new SharedArrayBuffer(8) },
      },
    );
    const ended = once(swapper, "exit");
    await once(swapper, "message");
    const seen = new Set<string>();
    const note = (call: Promise<Record<string, unknown>>) =>
      call.then(
        ({ text, matches }) => seen.add(JSON.stringify(text ?? matches)),
        ({ code }: { code?: string }) => seen.add(code ?? "unknown"),
      );
    const until = performance.now() + 1_500;
    while (performance.now() < until) {
      await note(read({ path: "inside/secret.txt" }));
      await note(write({ path: "inside/new.txt", content: "written" }));
      await note(search({ pattern: "secret", path: "inside" }));
    }
    await swapper.terminate();
    await ended;
    expect([...seen].join()).not.toMatch(/"secret/);
    expect(readdirSync(join(base, "outside"))).toEqual(["secret.txt"]);
    // Both sides of the race were met.
    expect(seen).toContain('"inside"');
    expect(seen).toContain("FILE_NOT_FOUND");
  });
});

describe("list_files", () => {
  it.runIf(process.platform === "linux")("tells that a name that is no UTF-8 is left out", async () => {
    file("a.txt");
    writeFileSync(Buffer.concat([Buffer.from(join(root, "b")), Buffer.from([0xff])]), "");
    expect(await list({})).toMatchObject({ entries: [{ path: "a.txt" }], truncated: true });
  });

  it("lists what is below a folder, in order, without what nobody asks for", async () => {
    file("b.txt", "12345");
    file("a/c.txt");
    file("a/.hidden");
    file(".git/config");
    file("a/node_modules/x.js");
    mkdirSync(join(root, "empty"));
    symlinkSync(base, join(root, "link"));
    expect(await list({})).toEqual({
      path: "",
      truncated: false,
      entries: [
        { path: "a/.hidden", name: ".hidden", type: "file", size: 0 },
        { path: "a/c.txt", name: "c.txt", type: "file", size: 0 },
        { path: "b.txt", name: "b.txt", type: "file", size: 5 },
        { path: "link", name: "link", type: "link", size: expect.any(Number) as number },
      ],
    });
    expect(await list({ path: "a" })).toMatchObject({
      path: "a",
      entries: [{ path: "a/.hidden" }, { path: "a/c.txt" }],
    });
    await expect(list({ path: "b.txt" })).rejects.toMatchObject({ code: "NOT_A_FOLDER" });
  });

  it("is bounded", async () => {
    mkdirSync(join(root, "many"));
    for (let index = 0; index < 5_100; index++) writeFileSync(join(root, "many", `${index}`), "");
    const { entries, truncated } = (await list({})) as { entries: unknown[]; truncated: boolean };
    expect([entries.length, truncated]).toEqual([5_000, true]);
    // Longer names: fewer of them.
    const long = "x".repeat(200);
    for (let index = 0; index < 2_000; index++) writeFileSync(join(root, `${long}${index}`), "");
    expect(JSON.stringify(await list({})).length).toBeLessThan(1024 * 1024);
  });

  it("does not go down for ever", async () => {
    mkdirSync(join(root, "d/".repeat(40)), { recursive: true });
    writeFileSync(join(root, "d/".repeat(40), "deep.txt"), "");
    file("d/shallow.txt");
    expect(await list({})).toMatchObject({ entries: [{ path: "d/shallow.txt" }], truncated: true });
  });

  it("ends when the job is aborted", async () => {
    await expect(list({}, AbortSignal.abort(new Error("cancelled")))).rejects.toThrow("cancelled");
  });
});

describe("read_file", () => {
  it("reads text in parts that fit together, characters whole", async () => {
    const text = "aé€😀".repeat(20);
    file("text.txt", `\uFEFF${text}`);
    for (const limit of [1, 2, 3, 4, 5, 7, 100]) {
      let whole = "";
      let offset: number | undefined = 0;
      for (let parts = 0; offset !== undefined && parts < 1_000; parts++) {
        const part = await read({ path: "text.txt", offset, limit });
        whole += part["text"] as string;
        expect(part).toMatchObject({ size: Buffer.byteLength(text) + 3, truncated: part["next_offset"] !== undefined });
        offset = part["next_offset"] as number | undefined;
      }
      expect(whole).toBe(`\uFEFF${text}`);
    }
  });

  it("says where it is", async () => {
    file("text.txt", "0123456789");
    expect(await read({ path: "text.txt", offset: 3, limit: 4 })).toEqual({
      path: "text.txt",
      text: "3456",
      offset: 3,
      size: 10,
      truncated: true,
      next_offset: 7,
    });
    expect(await read({ path: "text.txt", offset: 20 })).toMatchObject({ text: "", offset: 20, truncated: false });
    file("empty.txt");
    expect(await read({ path: "empty.txt" })).toMatchObject({ text: "", size: 0, truncated: false });
  });

  it("reads no more than its bound of a huge file", async () => {
    file("huge");
    truncateSync(join(root, "huge"), 20 * 1024 ** 3);
    await expect(read({ path: "huge" })).rejects.toMatchObject({ code: "FILE_NOT_TEXT" });
    file("large.txt", '"'.repeat(1_000_000));
    const part = await read({ path: "large.txt", limit: 256 * 1024 });
    expect(part).toMatchObject({ truncated: true, next_offset: 256 * 1024, size: 1_000_000 });
    file("escapes.txt", "\u0001".repeat(300_000));
    const escapes = await read({ path: "escapes.txt", limit: 256 * 1024 });
    expect(Buffer.byteLength(JSON.stringify(escapes))).toBeLessThan(1024 * 1024);
    expect(escapes["next_offset"]).toBe((escapes["text"] as string).length);
  });

  it.each<[string, Buffer]>([
    ["NUL bytes", Buffer.from("a\0b")],
    ["broken UTF-8", Buffer.from([0x61, 0xc3, 0x28])],
    ["bytes that only go on", Buffer.alloc(50, 0x80)],
    ["an image", Buffer.from("89504e470d0a1a0a0000000d49484452", "hex")],
  ])("refuses %s", async (_what, content) => {
    file("binary", content);
    await expect(read({ path: "binary" })).rejects.toMatchObject({ code: "FILE_NOT_TEXT", nonRetryable: true });
  });

  it.each([
    { path: "a", offset: -1 },
    { path: "a", limit: 0 },
    { path: "a", limit: 1_000_000 },
    {},
    { path: "a", x: 1 },
  ])("refuses the arguments %j", async (args) => {
    await expect(read(args as Record<string, string>)).rejects.toMatchObject({ code: "ARGUMENTS_INVALID" });
  });
});

describe("search_text", () => {
  it("finds lines", async () => {
    file("a.txt", "one\r\ntwo one\nthree");
    file("b/c.txt", "ONE\n");
    file("binary", Buffer.from("one\0"));
    expect(await search({ pattern: "^.*one$" })).toEqual({
      matches: [
        { path: "a.txt", line: 1, text: "one" },
        { path: "a.txt", line: 2, text: "two one" },
      ],
      files_searched: 2,
      truncated: false,
    });
    expect(await search({ pattern: "(?i)one", path: "b" })).toMatchObject({ matches: [{ path: "b/c.txt", line: 1 }] });
    expect(await search({ pattern: "two", path: "a.txt" })).toMatchObject({
      matches: [{ line: 2 }],
      files_searched: 1,
    });
    await expect(search({ pattern: "two", path: "none.txt" })).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
  });

  it("is bounded in matches, lines and files", async () => {
    file("many.txt", "match\n".repeat(600));
    file("wide.txt", `match${"x".repeat(50_000)}`);
    file("large.txt", "match\n".repeat(1_000_000));
    const outcome = await search({ pattern: "match" });
    expect(outcome).toMatchObject({ truncated: true });
    expect(outcome["matches"]).toHaveLength(500);
    expect(await search({ pattern: "match", path: "wide.txt" })).toMatchObject({
      matches: [{ text: expect.stringMatching(/^.{300}$/) as string }],
      truncated: true,
    });
    expect(await search({ pattern: "match", path: "large.txt" })).toMatchObject({ matches: [], truncated: true });
  });

  it("refuses patterns that RE2 does not know, or that are too large", async () => {
    for (const pattern of ["(", "(?=a)", "\\1", "(?:a{100}){10}", "x".repeat(1_001)]) {
      await expect(search({ pattern })).rejects.toMatchObject({ nonRetryable: true });
    }
  });

  it("lets other jobs have their turn, and heeds an abort", async () => {
    // Several times what a turn lasts, however fast the machine.
    const text = `${"a".repeat(200)}\n`.repeat(20_000);
    for (let index = 0; index < 12; index++) file(`long-${index}.txt`, text);
    const cancelled = new AbortController();
    const searching = search({ pattern: "(?:a?){50}b" }, cancelled.signal);
    setTimeout(() => cancelled.abort(new Error("cancelled")), 5);
    await expect(searching).rejects.toThrow("cancelled");
  });
});

describe("write_file", () => {
  it("writes files and the folders they need, again and again", async () => {
    for (let index = 0; index < 2; index++) {
      expect(await write({ path: "a/b/c.txt", content: "é" })).toEqual({ path: "a/b/c.txt", size: 2 });
      expect(readFileSync(join(root, "a/b/c.txt"), "utf8")).toBe("é");
    }
    await write({ path: "a/b/c.txt", content: "" });
    expect(readFileSync(join(root, "a/b/c.txt"), "utf8")).toBe("");
    expect(readdirSync(join(root, "a/b"))).toEqual(["c.txt"]);
  });

  it("keeps who may run a file", async () => {
    file("run.sh", "old");
    chmodSync(join(root, "run.sh"), 0o750);
    await write({ path: "run.sh", content: "new" });
    expect(statSync(join(root, "run.sh")).mode & 0o777).toBe(0o750);
  });

  it("replaces a file, not what else has the same content by a hard link", async () => {
    linkSync(join(base, "outside", "secret.txt"), join(root, "hard.txt"));
    await write({ path: "hard.txt", content: "new" });
    expect(readFileSync(join(base, "outside", "secret.txt"), "utf8")).toBe("secret");
  });

  it("refuses a folder, a file as a folder, and what git may run", async () => {
    file("folder/a.txt", "a");
    await expect(write({ path: "folder", content: "x" })).rejects.toMatchObject({ code: "NOT_A_FILE" });
    await expect(write({ path: "folder/a.txt/b", content: "x" })).rejects.toMatchObject({ code: "NOT_A_FOLDER" });
    for (const path of [".git/hooks/pre-commit", "sub/.GIT/config", ".git"]) {
      await expect(write({ path, content: "x" })).rejects.toMatchObject({ code: "PATH_REFUSED" });
    }
    expect(existsSync(join(root, ".git"))).toBe(false);
  });

  it("leaves nothing behind that tools would show", async () => {
    file(".abstractruntime-0011223344556677.tmp", "half a file");
    expect(await list({})).toMatchObject({ entries: [] });
    expect(await search({ pattern: "half" })).toMatchObject({ matches: [] });
  });
});

it("a root that is no folder is refused", async () => {
  file("a.txt");
  await expect(openRoot(join(root, "a.txt"))).rejects.toThrow("ENOTDIR");
  await expect(openRoot(join(root, "none"))).rejects.toThrow("ENOENT");
});
