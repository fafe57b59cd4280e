/** The inspector of a Node process: measures its memory after garbage collection. */

export type Memory = { residentBytes: number; heapBytes: number };

/** Collections before the measurement: the first leaves objects that finalisers hold. */
const COLLECTIONS = 3;

/** Collects the process's garbage and returns the heap that is still in use. */
export async function readMemory(inspectorUrl: string): Promise<Memory> {
  const socket = new WebSocket(inspectorUrl);
  const waiting = new Map<number, (result: { result?: { value?: string } }) => void>();
  let lastId = 0;
  const opened = Promise.withResolvers<void>();
  socket.addEventListener("open", () => opened.resolve());
  socket.addEventListener("error", () => opened.reject(new Error(`${inspectorUrl} does not answer`)));
  socket.addEventListener("message", ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as { id: number; result: { result?: { value?: string } } };
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  const call = async (method: string, params: object = {}): Promise<string> => {
    lastId += 1;
    const id = lastId;
    socket.send(JSON.stringify({ id, method, params }));
    return (
      (await new Promise<{ result?: { value?: string } }>((resolve) => waiting.set(id, resolve))).result?.value ?? ""
    );
  };
  await opened.promise;
  try {
    for (let index = 0; index < COLLECTIONS; index++) await call("HeapProfiler.collectGarbage");
    const text = await call("Runtime.evaluate", {
      expression: "JSON.stringify(process.memoryUsage())",
      returnByValue: true,
    });
    const usage = JSON.parse(text) as { rss: number; heapUsed: number; external: number };
    return { residentBytes: usage.rss, heapBytes: usage.heapUsed + usage.external };
  } finally {
    socket.close();
  }
}
