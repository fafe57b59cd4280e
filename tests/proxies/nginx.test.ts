/** nginx with a short read timeout before a server: clients and workers go on through it, over HTTP and over gRPC. */
import { createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { describe, expect, test } from "vitest";
import { Client, complete, tool, toolCalls, waitEvent, Worker, workflow } from "../../sdk-ts/src/index.ts";
import { useServer } from "../conformance/server.ts";
import { findPrograms } from "../support/debian-programs.ts";
import { startNginx } from "../support/real-servers.ts";

const programs = await findPrograms("nginx");
if (programs.missing !== undefined) console.warn(`tests/proxies: skipped: ${programs.missing}`);

const patient = workflow(
  "nginx-patient",
  {},
  { wait: waitEvent({ names: ["go"] }, { resultKey: "event", next: "end" }), end: complete("${vars.event.payload}") },
);

describe.skipIf(programs.missing !== undefined)("through nginx with a read timeout of a second", () => {
  const server = useServer();
  const blockOf = {
    proxy_pass: (port: number) => `proxy_pass http://127.0.0.1:${port}; proxy_http_version 1.1;
      proxy_read_timeout 1s; proxy_buffering off;`,
    grpc_pass: (port: number) => `grpc_pass grpc://127.0.0.1:${port}; grpc_read_timeout 1s;`,
  };
  const open = async (directive: keyof typeof blockOf) => {
    const location = `location / { ${blockOf[directive](server.port)} }`;
    const nginx = await startNginx(programs, `server { listen 127.0.0.1:PORT http2; ${location} }`);
    return { nginx, url: `http://127.0.0.1:${nginx.port}` };
  };
  const clients = {
    Connect: (url: string) => new Client({ addresses: url }),
    gRPC: (url: string) => new Client({ transport: createGrpcTransport({ baseUrl: url }) }),
    "gRPC-Web": (url: string) => new Client({ transport: createGrpcWebTransport({ baseUrl: url, httpVersion: "2" }) }),
  };

  test.concurrent.for([
    ["proxy_pass", "Connect"],
    ["grpc_pass", "Connect"],
    ["grpc_pass", "gRPC"],
    ["proxy_pass", "gRPC-Web"],
  ] as const)("%s: %s polls and watches for longer than that", async ([directive, protocol], { onTestFinished }) => {
    const { nginx, url } = await open(directive);
    const client = clients[protocol](url);
    onTestFinished(async () => {
      client.close();
      await nginx.stop();
    });
    const run = await client.run(patient, {}, { reasons: ["event"] });
    const result = client.result(run);
    const records = client.ledger.watch(run, { afterSeq: 0 });
    const kinds: string[] = [];
    const reading = (async () => {
      for await (const { kind } of records) kinds.push(kind);
    })();
    // Each request is answered before the second is over; the server's part of it is logged there.
    await nginx.logged(/timed out/);
    await nginx.logged(/timed out/, await nginx.logged(/timed out/));
    await client.emit({ name: "go", runId: run.runId, payload: "went" });
    expect(await result).toBe("went");
    await reading;
    expect(kinds).toEqual([...new Set(kinds)]);
    expect(kinds.at(-1)).toBe("run.completed");
  });

  test("grpc_pass: a worker keeps its job over the streams that are cut", async ({ onTestFinished }) => {
    const { nginx, url } = await open("grpc_pass");
    const begun = Promise.withResolvers<void>();
    const done = Promise.withResolvers<string>();
    const slow = tool({ name: "nginx-slow" }, async () => {
      begun.resolve();
      return done.promise;
    });
    const worker = new Worker({ server: url, tools: [slow], log: false });
    const client = new Client({ addresses: url });
    onTestFinished(async () => {
      client.close();
      await worker.stop({ graceMs: 0 });
      await nginx.stop();
    });
    await worker.start();
    const calling = workflow(
      "nginx-calling",
      {},
      {
        call: toolCalls({ calls: [{ name: slow.name }] }, { resultKey: "calls", next: "end" }),
        end: complete("${vars.calls.results[0].output}"),
      },
    );
    const run = await client.start(calling, {});
    await begun.promise;
    await nginx.logged(/timed out/, await nginx.logged(/timed out/));
    done.resolve("done");
    expect(await client.result(run)).toBe("done");
  });
});
