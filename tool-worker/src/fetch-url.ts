import { lookup } from "node:dns/promises";
import { type LookupFunction, isIP } from "node:net";
import type { Readable } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";

import { type JobContext, tool, ToolError } from "@abstractruntime/sdk";
import { Agent, type Dispatcher, request } from "undici";

import { isPublicAddress } from "./address-check.ts";
import { cutToJsonBytes } from "./bounded-text.ts";

export type FetchUrlOptions = {
  /** Whether an address may be reached. Default: only public addresses. */
  isAllowed?: (address: string) => boolean;
  /** Resolves a host name to addresses. Default: the operating system's resolver. */
  resolve?: (hostname: string) => Promise<string[]>;
  /** Time limit for everything, redirects included. Default 20 s. */
  timeoutMs?: number;
};

const REDIRECTS_MAX = 5;
const REDIRECT_STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const TIMEOUT_MS = 20_000;
/** How much of a body is read, after decoding. */
const BODY_BYTES_MAX = 1024 * 1024;
/** Bytes of the text as a JSON string in the result. */
const TEXT_JSON_BYTES_MAX = 768 * 1024;
const URL_CHARS_MAX = 4_096;
/** The response headers in the result; others, such as cookies, are left out. */
const HEADERS_SHOWN = ["content-type", "content-length", "content-language", "etag", "last-modified", "date"] as const;
const HEADER_CHARS_MAX = 1_000;

const REQUEST_HEADERS = {
  accept: "text/html, application/json, text/*, application/xml;q=0.9, */*;q=0.1",
  "accept-encoding": "gzip, deflate, br",
  "user-agent": "abstractruntime-tool-worker",
};

export function fetchUrlTool({
  isAllowed = isPublicAddress,
  resolve = resolveHost,
  timeoutMs = TIMEOUT_MS,
}: FetchUrlOptions = {}) {
  return tool(
    {
      name: "fetch_url",
      description:
        "Fetches a page of the public web over http or https, following up to five redirects. `text` is null if the body is " +
        "not text. At most 1 MiB is read; `truncated` is true if there is more.",
      input: {
        type: "object",
        properties: { url: { type: "string", maxLength: URL_CHARS_MAX } },
        required: ["url"],
        additionalProperties: false,
      },
    },
    async ({ url }: { url: string }, context: JobContext) => {
      const timeout = AbortSignal.timeout(timeoutMs);
      const signal = AbortSignal.any([context.signal, timeout]);
      try {
        return await fetchFollowing(url, { isAllowed, resolve, signal });
      } catch (error) {
        if (error instanceof ToolError) throw error;
        if (timeout.aborted) throw new ToolError("FETCH_TIMEOUT", `the page took longer than ${timeoutMs} ms`);
        throw new ToolError("FETCH_FAILED", `the page cannot be fetched: ${reasonOf(error)}`, { cause: error });
      }
    },
  );
}

type Reach = { isAllowed(address: string): boolean; resolve(hostname: string): Promise<string[]>; signal: AbortSignal };

async function fetchFollowing(given: string, reach: Reach) {
  let url = readUrl(given);
  for (let redirects = 0; ; redirects++) {
    const agent = await agentFor(url, reach);
    try {
      const response = await request(url, { dispatcher: agent, headers: REQUEST_HEADERS, signal: reach.signal });
      const location = response.headers["location"];
      if (!REDIRECT_STATUSES.has(response.statusCode) || typeof location !== "string") return await read(url, response);
      if (redirects === REDIRECTS_MAX) throw refused("REDIRECTS_TOO_MANY", `more than ${REDIRECTS_MAX} redirects`);
      url = readUrl(location, url);
    } finally {
      // This also discards the rest of the body.
      await agent.destroy();
    }
  }
}

/** @throws {ToolError} URL_REFUSED */
function readUrl(text: string, base?: URL): URL {
  const url = URL.parse(text, base?.href);
  if (url === null) throw refused("URL_REFUSED", "not a URL");
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw refused("URL_REFUSED", `only http and https URLs can be fetched, not ${url.protocol.slice(0, 50)}`);
  }
  if (url.username !== "" || url.password !== "")
    throw refused("URL_REFUSED", "the URL must not contain a user name or password");
  return url;
}

/** Returns an agent that connects to the checked address: resolving the name again might return another one.
 *  @throws {ToolError} URL_REFUSED */
async function agentFor(url: URL, { isAllowed, resolve, signal }: Reach): Promise<Agent> {
  const hostname = url.hostname.replace(/^\[|\]$/g, "");
  const addresses = isIP(hostname) === 0 ? await orAborted(resolve(hostname), signal) : [hostname];
  const [address] = addresses;
  if (address === undefined) throw new ToolError("FETCH_FAILED", `${hostname} has no address`);
  // One private address is enough to refuse: the name is internal, or is meant to reach something internal.
  if (!addresses.every((candidate) => isAllowed(candidate))) {
    throw refused("URL_REFUSED", `${hostname} has an address that is not public`);
  }
  const pinned: LookupFunction = (_hostname, options, callback) => {
    const family = isIP(address);
    if (options.all === true) callback(null, [{ address, family }]);
    else callback(null, address, family);
  };
  return new Agent({ connect: { lookup: pinned }, pipelining: 0 });
}

async function resolveHost(hostname: string): Promise<string[]> {
  const found = await lookup(hostname, { all: true });
  return found.map(({ address }) => address);
}

async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason as Error);
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function read(url: URL, { statusCode, headers, body }: Dispatcher.ResponseData) {
  const contentType = headerText(headers["content-type"]) ?? "";
  const { bytes, truncated } = await readBody(body, headerText(headers["content-encoding"]));
  const text = textOf(bytes, contentType);
  const shown = text === undefined ? null : cutToJsonBytes(text, TEXT_JSON_BYTES_MAX);
  const shownHeaders = HEADERS_SHOWN.flatMap((name) => {
    const value = headerText(headers[name]);
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    url: url.href,
    status: statusCode,
    content_type: contentType,
    headers: Object.fromEntries(shownHeaders),
    text: shown,
    bytes: bytes.length,
    truncated: truncated || (shown !== null && shown.length < (text?.length ?? 0)),
  };
}

/** Reads a body up to the bound, which applies to the decoded bytes: a small body may decode to a huge one. */
async function readBody(body: Readable, encoding: string | undefined): Promise<{ bytes: Buffer; truncated: boolean }> {
  const decoded = decode(body, encoding);
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of decoded as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > BODY_BYTES_MAX) break;
    }
  } finally {
    body.destroy();
  }
  return { bytes: Buffer.concat(chunks).subarray(0, BODY_BYTES_MAX), truncated: length > BODY_BYTES_MAX };
}

/** @throws {ToolError} FETCH_FAILED for an encoding that was not requested */
function decode(body: Readable, encoding = "identity"): Readable {
  const name = encoding.trim().toLowerCase();
  if (name === "identity" || name === "") return body;
  const decoder = { gzip: createGunzip, "x-gzip": createGunzip, deflate: createInflate, br: createBrotliDecompress }[
    name
  ];
  if (decoder === undefined) throw refused("FETCH_FAILED", `unsupported content encoding ${name.slice(0, 50)}`);
  const stream = decoder();
  // Not pipeline(): the reader may stop early, which is not an error.
  body.on("error", (error) => stream.destroy(error));
  stream.on("close", () => body.destroy());
  return body.pipe(stream);
}

/** The text of a body in the character set of its type; undefined if the body is not text. */
function textOf(bytes: Buffer, contentType: string): string | undefined {
  const [type = ""] = contentType.split(";");
  const isBinary = /^(?:image|audio|video|font)\/(?!svg)|^application\/(?:octet-stream|pdf|zip|gzip|wasm)/i.test(
    type.trim(),
  );
  if (isBinary || bytes.includes(0)) return undefined;
  const charset = /charset\s*=\s*"?([^\s;"]+)/i.exec(contentType)?.[1] ?? "utf-8";
  try {
    return new TextDecoder(charset).decode(bytes);
  } catch {
    return new TextDecoder().decode(bytes);
  }
}

function headerText(value: string | string[] | undefined): string | undefined {
  const text = Array.isArray(value) ? value.join(", ") : value;
  return text?.slice(0, HEADER_CHARS_MAX);
}

function refused(code: string, message: string): ToolError {
  return new ToolError(code, message, { nonRetryable: true });
}

/** Why a connection failed, without details of the machine's internal network. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return error instanceof Error ? error.message : "an unknown error";
}
