// Makes the tool worker read a file.
import { Client, complete, toolCalls, workflow } from "@abstractruntime/sdk";

const read = workflow(
  "read",
  {},
  {
    read: toolCalls(
      { calls: [{ name: "read_file", arguments: { path: "note.txt" } }] },
      { resultKey: "read", next: ["done"] },
    ),
    done: complete("${json(vars.read.results[0])}"),
  },
);
const client = new Client();
process.stdout.write(await client.result(await client.start(read, {})));
client.close();
