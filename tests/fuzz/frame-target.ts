/** Streams of workers whose frames are mutated, reordered, repeated, too large, or no frames at all. */
import { type WorkerHello, WorkerHelloSchema, WorkRequestSchema } from "@abstractruntime/proto/worker_service_pb";
import { create, fromJson, toBinary } from "@bufbuild/protobuf";
import { freshSession, openWireWorker, type WireWorker } from "../conformance/wire-worker.ts";
import { createRandom, type Random } from "../simulation/random.ts";
import type { FuzzTarget } from "../support/fuzz.ts";
import { drawMessage, drawText, mutateBytes, type Words } from "./draw-message.ts";
import { FUZZED_TOOL, type FuzzPort } from "./port.ts";

/** Only a hung stream takes as long to end. */
const PATIENCE_MS = 20_000;
const FRAMES_MAX = 12;
/** Stands for the token of a job that the worker was offered. */
const TOKEN_WORD = "TOKEN";

type Stream = {
  hello: Buffer;
  frames: Buffer[];
  /** Waits for a job after the hello, and puts its token where frames have the word. */
  takesJob: boolean;
  /** How the worker's side ends. */
  end: "half-closed" | "cut" | "goodbye";
};

/** @param isBad whether every hello must be refused */
export function frameTarget(port: FuzzPort, isBad = false): FuzzTarget<Stream> {
  return {
    name: "frames",
    draw: (random) => drawStream(random, port.words, isBad),
    async check({ hello, frames, takesJob, end }) {
      if (takesJob) await port.startFuzzedRun();
      const worker = openWireWorker(port.port);
      worker.sendMessage(hello);
      const token = takesJob ? await offeredToken(worker) : undefined;
      for (const frame of frames) worker.sendMessage(token === undefined ? frame : withToken(frame, token));
      if (end === "cut") return worker.cut();
      if (end === "goodbye") worker.send({ case: "goodbye", value: {} });
      worker.endSending();
      const timer = setTimeout(() => worker.cut(), PATIENCE_MS);
      const { code } = await worker.ended;
      clearTimeout(timer);
      if (code === -1) throw new Error("the stream has no status: it hangs, or its connection was cut");
      port.assertSound(code);
    },
    show: ({ hello, frames, takesJob, end }) =>
      [hello, ...frames].map((frame) => frame.subarray(0, 500).toString("hex")).join(" ") + ` ${takesJob} ${end}`,
  };
}

/** The token of a job, if the stream lives so long. */
async function offeredToken(worker: WireWorker): Promise<string | undefined> {
  worker.send({ case: "credit", value: { jobs: 1 } });
  return await worker.job().then(
    ({ token }) => token,
    () => undefined,
  );
}

/** Puts the token in place of the word. The lengths before it then are wrong unless the frame is built again. */
function withToken(frame: Buffer, token: string): Buffer {
  const at = frame.indexOf(TOKEN_WORD);
  if (at === -1) return frame;
  const kind = frame[0] === 0x22 ? "result" : frame[0] === 0x1a ? "accept" : "heartbeat";
  const random = createRandom(frame.length);
  const tokens = [token, ...(random.percent(50) ? [token] : [])];
  const value = kind === "result" ? { results: tokens.map((each) => ({ token: each })) } : { tokens };
  return Buffer.from(toBinary(WorkRequestSchema, create(WorkRequestSchema, { frame: { case: kind, value } as never })));
}

function drawStream(random: Random, words: Words, isBad: boolean): Stream {
  const texts = [...words, TOKEN_WORD, "h.1", "bm9uc2Vuc2U"];
  const takesJob = !isBad && random.percent(30);
  const hello = isBad ? badHello(random, texts) : takesJob ? validHello() : drawHello(random, texts);
  const frames = Array.from({ length: random.below(FRAMES_MAX) }, () => drawFrame(random, texts));
  if (frames.length > 0 && random.percent(20)) frames.push(...frames.toReversed());
  if (random.percent(1)) frames.push(Buffer.alloc(3.5 * 1024 * 1024, 0x22));
  return { hello, frames, takesJob, end: random.pick(["half-closed", "half-closed", "half-closed", "cut", "goodbye"]) };
}

function encodeHello(hello: Partial<WorkerHello>): Buffer {
  const value = create(WorkerHelloSchema, { workerSessionId: freshSession(), ...hello } as never);
  return Buffer.from(toBinary(WorkRequestSchema, create(WorkRequestSchema, { frame: { case: "hello", value } })));
}

function validHello(): Buffer {
  return encodeHello({ tools: [{ name: FUZZED_TOOL }] as never });
}

function drawHello(random: Random, words: Words): Buffer {
  const choice = random.below(10);
  if (choice < 3) return validHello();
  if (choice < 6) return mutateBytes(random, validHello());
  if (choice < 7) return drawFrame(random, words);
  return badHello(random, words);
}

/** A hello that is refused: for a tool that occurs twice, and whatever else it has. */
function badHello(random: Random, words: Words): Buffer {
  const schema = {
    type: "object",
    properties: { [drawText(random, words)]: { pattern: `^x{${random.below(100)}}$` } },
  };
  const tools = [1, 2].map(() => ({ name: "twice", inputSchema: Buffer.from(JSON.stringify(schema)) }));
  return encodeHello({ tools: tools as never, name: random.pick(words) });
}

function drawFrame(random: Random, words: Words): Buffer {
  for (let attempt = 0; attempt < 5; attempt++) {
    const json = drawMessage(random, WorkRequestSchema, words);
    try {
      const bytes = toBinary(WorkRequestSchema, fromJson(WorkRequestSchema, json));
      return random.percent(60) ? Buffer.from(bytes) : mutateBytes(random, bytes);
    } catch {
      // Drawn JSON is often no message.
    }
  }
  return Buffer.from(Array.from({ length: random.below(60) }, () => random.below(256)));
}
