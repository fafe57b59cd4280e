import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";

import type { JobContext } from "@abstractruntime/sdk";
import { afterEach, describe, expect, it } from "vitest";

import { isPublicAddress } from "./address-check.ts";
import { fetchUrlTool, type FetchUrlOptions } from "./fetch-url.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server on a loopback address that tests take for a public one. */
async function serve(answer: Answer, host = "127.0.0.2") {
  let requests = 0;
  const server = createServer((request, response) => {
    requests += 1;
    response.on("error", () => {});
    answer(request, response);
  });
  server.listen(0, host);
  await once(server, "listening");
  cleanups.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://${host}:${port}/`,
    get requests() {
      return requests;
    },
  };
}

/** Only 127.0.0.2 counts as public. */
const reach: FetchUrlOptions = {
  isAllowed: (address) => address === "127.0.0.2",
  resolve: async (hostname) => {
    const addresses = {
      "public.test": ["127.0.0.2"],
      "private.test": ["127.0.0.1"],
      "both.test": ["127.0.0.2", "127.0.0.1"],
    };
    return addresses[hostname as keyof typeof addresses] ?? [];
  },
};

function fetchUrl(url: string, options: FetchUrlOptions = reach, signal = new AbortController().signal) {
  return fetchUrlTool(options).call({ url }, { signal } as JobContext) as Promise<Record<string, unknown>>;
}

const text =
  (body: string | Buffer, headers: Record<string, string> = {}): Answer =>
  (_request, response) =>
    void response.writeHead(200, { "content-type": "text/plain", ...headers }).end(body);

describe("fetch_url", () => {
  it("gives status, type, headers and text", async () => {
    const { url } = await serve((request, response) => {
      response
        .writeHead(404, { "content-type": "text/html", etag: '"1"', "set-cookie": "a=b" })
        .end(request.headers.host);
    });
    expect(await fetchUrl(url)).toEqual({
      url,
      status: 404,
      content_type: "text/html",
      headers: { "content-type": "text/html", etag: '"1"', date: expect.any(String) as string },
      text: new URL(url).host,
      bytes: new URL(url).host.length,
      truncated: false,
    });
  });

  it("connects to the address that was checked, under the name that was asked for", async () => {
    const server = await serve((request, response) => void response.end(request.headers.host));
    expect(await fetchUrl(`http://public.test:${server.port}/`)).toMatchObject({ text: `public.test:${server.port}` });
  });

  it("follows redirects, five at most", async () => {
    const server = await serve((request, response) => {
      const left = Number(request.url?.slice(1));
      if (left === 0) response.end("there");
      else response.writeHead(302, { location: `/${left - 1}` }).end();
    });
    expect(await fetchUrl(`${server.url}5`)).toMatchObject({ url: `${server.url}0`, text: "there" });
    await expect(fetchUrl(`${server.url}6`)).rejects.toMatchObject({ code: "REDIRECTS_TOO_MANY", nonRetryable: true });
  });

  it.each([
    "http://127.0.0.1/",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://private.test/",
    "http://both.test/",
    "ftp://public.test/",
    "file:///etc/passwd",
    "http://user:password@public.test/",
    "no url",
    "//public.test/",
  ])("refuses %s", async (url) => {
    await expect(fetchUrl(url)).rejects.toMatchObject({ code: "URL_REFUSED", nonRetryable: true });
  });

  it.each(["127.0.0.1", "private.test", "[::ffff:7f00:1]"])(
    "refuses a redirect to %s, and does not go there",
    async (host) => {
      const inner = await serve(text("secret"), "127.0.0.1");
      const { url } = await serve((_request, response) => {
        response.writeHead(307, { location: `http://${host}:${inner.port}/` }).end();
      });
      await expect(fetchUrl(url)).rejects.toMatchObject({ code: "URL_REFUSED" });
      expect(inner.requests).toBe(0);
    },
  );

  it("refuses a redirect to another scheme", async () => {
    const { url } = await serve(
      (_request, response) => void response.writeHead(301, { location: "file:///etc/passwd" }).end(),
    );
    await expect(fetchUrl(url)).rejects.toMatchObject({ code: "URL_REFUSED" });
  });

  it("reads no more than 1 MiB of a body that does not end", async () => {
    const chunk = Buffer.alloc(64 * 1024, "x");
    const closed = Promise.withResolvers<void>();
    const { url } = await serve((_request, response) => {
      response.writeHead(200, { "content-type": "text/plain" });
      const more = () => {
        while (response.write(chunk));
      };
      response.on("drain", more);
      response.on("close", closed.resolve);
      more();
    });
    const result = await fetchUrl(url);
    expect(result).toMatchObject({ truncated: true, bytes: 1024 * 1024 });
    await closed.promise;
  });

  it.each([
    ["gzip", gzipSync],
    ["deflate", deflateSync],
    ["br", brotliCompressSync],
  ] as const)("decodes %s, and stops when it decodes to too much", async (encoding, compress) => {
    const small = await serve(text(compress(Buffer.from("small")), { "content-encoding": encoding }));
    expect(await fetchUrl(small.url)).toMatchObject({ text: "small", truncated: false });
    const bomb = await serve(text(compress(Buffer.alloc(200_000_000)), { "content-encoding": encoding }));
    const before = process.memoryUsage().rss;
    expect(await fetchUrl(bomb.url)).toMatchObject({ text: null, truncated: true, bytes: 1024 * 1024 });
    expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000);
  });

  it("fails where the encoding is unknown, or is not what it says", async () => {
    for (const encoding of ["zstd", "constructor", "gzip"]) {
      const { url } = await serve(text("plain", { "content-encoding": encoding }));
      await expect(fetchUrl(url)).rejects.toMatchObject({ code: "FETCH_FAILED" });
    }
  });

  it.each<[string, Answer]>([
    ["says nothing", () => {}],
    ["stops in the headers", (request) => void request.socket.write("HTTP/1.1 200 OK\r\n")],
    ["stops in the body", (_request, response) => void response.write("a")],
    [
      "sends a byte now and then",
      (_request, response) => {
        const timer = setInterval(() => response.write("a"), 10);
        response.on("close", () => clearInterval(timer));
      },
    ],
  ])("gives up on a server that %s", async (_what, answer) => {
    const { url } = await serve(answer);
    await expect(fetchUrl(url, { ...reach, timeoutMs: 150 })).rejects.toMatchObject({
      code: "FETCH_TIMEOUT",
      nonRetryable: false,
    });
  });

  it("gives up on a name that is not resolved in time, and when the job is aborted", async () => {
    const resolve = () => new Promise<string[]>(() => {});
    await expect(fetchUrl("http://slow.test/", { resolve, timeoutMs: 50 })).rejects.toMatchObject({
      code: "FETCH_TIMEOUT",
    });
    const cancelled = new AbortController();
    const { url } = await serve(() => cancelled.abort(new Error("cancelled")));
    await expect(fetchUrl(url, reach, cancelled.signal)).rejects.toMatchObject({ code: "FETCH_FAILED" });
  });

  it("tells a server that cannot be reached, or speaks something else", async () => {
    const { port } = await serve(() => {}, "127.0.0.1");
    await expect(fetchUrl(`http://127.0.0.2:${port}/`)).rejects.toMatchObject({
      code: "FETCH_FAILED",
      message: /ECONNREFUSED/,
    });
    const { url } = await serve((request) => void request.socket.end("SSH-2.0\r\n"));
    await expect(fetchUrl(url)).rejects.toMatchObject({ code: "FETCH_FAILED", nonRetryable: false });
    await expect(fetchUrl("http://unknown.test/")).rejects.toMatchObject({ code: "FETCH_FAILED" });
  });

  it.each<[string, Buffer, string, string | null]>([
    ["latin text", Buffer.from([0xe9]), "text/plain; charset=iso-8859-1", "é"],
    ["an unknown character set", Buffer.from("é"), 'text/plain; charset="nonsense"', "é"],
    ["bytes", Buffer.from([1, 0, 2]), "text/plain", null],
    ["an image", Buffer.from("89504e47", "hex"), "image/png", null],
    ["a drawing", Buffer.from("<svg/>"), "image/svg+xml", "<svg/>"],
  ])("reads %s", async (_what, body, type, expected) => {
    const { url } = await serve(text(body, { "content-type": type }));
    expect(await fetchUrl(url)).toMatchObject({ text: expected, bytes: body.length });
  });

  it("gives a result that fits, whatever is in the text", async () => {
    const { url } = await serve(text("\u0001".repeat(1_000_000)));
    const result = await fetchUrl(url);
    expect(result).toMatchObject({ truncated: true });
    expect(JSON.stringify(result).length).toBeLessThan(1024 * 1024);
  });
});

describe("addresses of clouds that look public", () => {
  const guarded: FetchUrlOptions = {
    isAllowed: (address) => address === "127.0.0.2" || isPublicAddress(address),
    resolve: async (hostname) => (hostname === "wire.test" ? ["8.8.8.8", "168.63.129.16"] : ["127.0.0.2"]),
  };

  it.each(["http://168.63.129.16/", "http://[::ffff:168.63.129.16]/", "http://2822734096/", "http://wire.test/"])(
    "are refused, however they are reached: %s",
    async (url) => {
      await expect(fetchUrl(url, guarded)).rejects.toMatchObject({ code: "URL_REFUSED" });
      const redirecting = await serve((_request, response) => response.writeHead(302, { location: url }).end());
      await expect(fetchUrl(redirecting.url, guarded)).rejects.toMatchObject({ code: "URL_REFUSED" });
    },
  );
});

describe("isPublicAddress", () => {
  it.each(["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"])(
    "takes %s",
    (address) => {
      expect(isPublicAddress(address)).toBe(true);
    },
  );

  it.each(
    `0.0.0.0 10.1.2.3 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.255 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192
    192.0.2.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255 :: ::1
    ::127.0.0.1 ::ffff:10.0.0.1 ::ffff:127.0.0.1 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 100::1 2001::1
    2001:db8::1 2001:2::1 2002:7f00:1:: fc00::1 fd00:ec2::254
    168.63.129.16 ::ffff:168.63.129.16 ::ffff:a83f:8110 64:ff9b::a83f:8110 2002:a83f:8110::1
    2001:470::5efe:a83f:8110 2001:470::200:5efe:169.254.169.254 192.80.8.124 161.26.0.10 166.9.1.1
    fd20:ce::254 fd00:42::42 169.254.170.2 169.254.42.42 fe80::a9fe:a9fe
    fe80::1 fe80::1%eth0 fec0::1 ff02::1 5f00::1 4000::1 nonsense`.split(/\s+/),
  )("refuses %s", (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });
});
