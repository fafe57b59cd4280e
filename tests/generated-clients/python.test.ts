/** The smoke programs of sdk-python. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { prepareToolchain } from "../../scripts/client-languages.ts";
import { REPOSITORY } from "../conformance/server.ts";
import { testSmokePrograms } from "./smoke-programs.ts";

const python = await prepareToolchain.python();
const missing = "missing" in python ? python.missing : undefined;
if (missing !== undefined) console.warn(`tests/generated-clients: skipped: ${missing}`);

describe.skipIf(missing)(missing === undefined ? "Python" : `Python (skipped: ${missing})`, () => {
  testSmokePrograms({
    client: ["python3", "-m", "smoke.client"],
    worker: ["python3", "-m", "smoke.worker"],
    cwd: path.join(REPOSITORY, "sdk-python"),
    env: "missing" in python ? {} : python.env,
  });

  test("code of the contract and of all that it imports can be imported beside grpcio", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "abstractruntime-python-"));
    const roots = ["proto", "third_party/proto"].map((root) => path.join(REPOSITORY, root));
    const files = roots.flatMap((root) =>
      readdirSync(root, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".proto")),
    );
    const env = { ...("missing" in python ? {} : python.env), PYTHONPATH: folder };
    const run = (...args: string[]) => spawnSync("python3", args, { env, encoding: "utf8" });
    const includes = roots.map((root) => `-I${root}`);
    const generated = run("-m", "grpc_tools.protoc", ...includes, `--python_out=${folder}`, ...files);
    const program = [
      "import grpc",
      "from google.rpc import error_details_pb2, status_pb2",
      "from abstractruntime.v1 import runtime_service_pb2",
      "details = status_pb2.Status()",
      "details.details.add().Pack(error_details_pb2.ErrorInfo(reason='RUN_UNKNOWN'))",
      "print(grpc.StatusCode.OK.name, status_pb2.Status.FromString(details.SerializeToString()).details[0].type_url)",
    ].join("\n");
    const imported = run("-c", program);
    rmSync(folder, { recursive: true, force: true });
    expect([generated.stderr, imported.stderr]).toEqual(["", ""]);
    expect(imported.stdout).toBe("OK type.googleapis.com/google.rpc.ErrorInfo\n");
  });
});
