/** Web pages in a real browser: a page of another origin is refused until its origin is allowed. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { access, constants, mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createApi, type RawReply } from "../conformance/api.ts";
import { type ServerProcess, startServerProcess } from "../conformance/server.ts";
import { createTestDatabase, type TestDatabase } from "../support/postgres.ts";

const chromium = await findProgram(["chromium", "chromium-browser", "google-chrome"]);

/** Turns off the browser's own use of the network: updates, sync, look-ups. */
const CHROMIUM_OPTIONS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** What a page saw of one request: a reply, or that the browser would not show it one. */
type Seen = Partial<RawReply> & { failed?: string };

let database: TestDatabase;
let pages: Pages;
let strict: ServerProcess;
let open: ServerProcess;

describe("a page of another origin", () => {
  beforeAll(async () => {
    if (chromium === undefined) {
      console.warn("tests/browser: skipped: no chromium on PATH");
      return;
    }
    database = await createTestDatabase();
    pages = await servePages();
    [strict, open] = await Promise.all([
      startServerProcess({ env: { DATABASE_URL: database.url } }),
      startServerProcess({ env: { DATABASE_URL: database.url, ABSTRACTRUNTIME_ORIGINS: pages.origin } }),
    ]);
    const graph = {
      workflowId: "greet",
      entryNode: "end",
      nodes: { end: { complete: { output: "Hello, ${vars.name}!" } } },
    };
    await createApi(strict).call("RegisterWorkflow", { workflow: graph });
  });
  afterAll(async () => {
    await Promise.all([strict?.stop(), open?.stop()]);
    await pages?.close();
    await database?.drop();
  });

  test("is refused, whatever it tries, and nothing is done for it", async ({ skip }) => {
    if (chromium === undefined) skip("skipped: no chromium");
    const seen = await pages.visit(pages.origin, startsOf(strict.url, "refused"));
    expect(seen).toHaveLength(3);
    for (const { failed, status, text } of seen) {
      // A page does not even learn that it was refused; without cors it gets a reply that it cannot read.
      expect(failed ?? status, `the text is ${text}`).toSatisfy((value) => value === 0 || value === "TypeError");
      expect(text ?? "").toBe("");
    }
    await strict.logged("ORIGIN_REFUSED");
    expect((await createApi(strict).call("ListRuns")).runs).toBeUndefined();
  });

  test("is let in, preflight and refusals included, once its origin is allowed", async ({ skip }) => {
    if (chromium === undefined) skip("skipped: no chromium");
    const [start, unknown, plain] = await pages.visit(pages.origin, [
      ...startsOf(open.url, "allowed").slice(0, 1),
      ["GetRun", { mode: "cors", contentType: "application/json", url: open.url, body: { runId: "nobody" } }],
      ["GetRun", { mode: "cors", contentType: "text/plain", url: open.url, body: { runId: "allowed-0" } }],
    ]);
    expect(start).toMatchObject({ status: 200 });
    expect(JSON.parse(start!.text!)).toMatchObject({ run: { status: "RUN_STATUS_COMPLETED", output: "Hello, page!" } });
    expect(unknown).toMatchObject({ status: 404 });
    expect(JSON.parse(unknown!.text!)).toMatchObject({ code: "not_found" });
    // Requests that need no preflight are refused even so.
    expect(plain).toMatchObject({ status: 415 });
    expect((await createApi(open).call("GetRun", { runId: "allowed-0" })).run.output).toBe("Hello, page!");
  });

  test("is still refused if its origin is another than the one that is allowed", async ({ skip }) => {
    if (chromium === undefined) skip("skipped: no chromium");
    const seen = await pages.visit(pages.otherOrigin, startsOf(open.url, "other"));
    for (const { failed, status } of seen)
      expect(failed ?? status).toSatisfy((value) => value === 0 || value === "TypeError");
    await expect(createApi(open).call("GetRun", { runId: "other-0" })).rejects.toThrow("RUN_UNKNOWN");
  });
});

type PageRequest = [
  method: string,
  request: { mode: "cors" | "no-cors"; contentType: string; url: string; body: object },
];

/** A start as a page would send it: with a preflight, without one, and without asking to read the reply. */
function startsOf(url: string, name: string): PageRequest[] {
  const forms = [
    { mode: "cors", contentType: "application/json" },
    { mode: "cors", contentType: "text/plain" },
    { mode: "no-cors", contentType: "text/plain" },
  ] as const;
  return forms.map((form, index) => {
    const body = { runId: `${name}-${index}`, workflowId: "greet", vars: { name: "page" } };
    return ["StartRun", { ...form, url, body }];
  });
}

type Pages = {
  /** Two origins that the same pages are served from. */
  origin: string;
  otherOrigin: string;
  /** Opens a page of this origin in a browser and returns the outcomes of its requests. */
  visit(origin: string, requests: PageRequest[]): Promise<Seen[]>;
  close(): Promise<void>;
};

/** Serves a page that makes requests and reports what it saw. */
async function servePages(): Promise<Pages> {
  let html = "";
  let told: (seen: Seen[]) => void = () => undefined;
  const server: Server = createServer((request, response) => {
    if (request.method === "POST") {
      let text = "";
      request.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      request.on("end", () => {
        response.end();
        told(JSON.parse(text) as Seen[]);
      });
      return;
    }
    response.setHeader("content-type", "text/html; charset=utf-8").end(request.url === "/" ? html : "");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    otherOrigin: `http://localhost:${port}`,
    async visit(origin, requests) {
      html = pageOf(requests);
      const seen = new Promise<Seen[]>((resolve) => {
        told = resolve;
      });
      const profile = await mkdtemp(path.join(tmpdir(), "abstractruntime-chromium-"));
      const browser = spawn(chromium!, [...CHROMIUM_OPTIONS, `--user-data-dir=${profile}`, `${origin}/`], {
        stdio: "ignore",
        detached: true,
      });
      const exited = once(browser, "exit");
      try {
        return await Promise.race([
          seen,
          exited.then(() => {
            throw new Error("the browser ended before the page was done");
          }),
        ]);
      } finally {
        killGroup(browser);
        await exited;
        await rm(profile, { recursive: true, force: true, maxRetries: 10 });
      }
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function pageOf(requests: PageRequest[]): string {
  const script = async (all: PageRequest[]) => {
    const seen: Seen[] = [];
    for (const [method, { mode, contentType, url, body }] of all) {
      try {
        const response = await fetch(`${url}/abstractruntime.v1.RuntimeService/${method}`, {
          method: "POST",
          mode,
          headers: { "content-type": contentType },
          body: JSON.stringify(body),
        });
        seen.push({ status: response.status, text: await response.text() });
      } catch (error) {
        seen.push({ failed: (error as Error).name });
      }
    }
    await fetch("/seen", { method: "POST", body: JSON.stringify(seen) });
  };
  return `<!doctype html><title>page</title><script>(${script.toString()})(${JSON.stringify(requests)})</script>`;
}

/** A browser consists of several processes. */
function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

async function findProgram(names: string[]): Promise<string | undefined> {
  for (const directory of (process.env["PATH"] ?? "").split(path.delimiter)) {
    for (const name of names) {
      const file = path.join(directory, name);
      const isThere = await access(file, constants.X_OK).then(
        () => true,
        () => false,
      );
      if (isThere) return file;
    }
  }
  return undefined;
}
