/**
 * What an unknown client knows of the server: the descriptors of server reflection, and nothing else of this
 * repository.
 */
import type * as grpc from "@grpc/grpc-js";
import { fromJSON, loadFileDescriptorSetFromBuffer, type PackageDefinition } from "@grpc/proto-loader";
import { fieldsOf } from "./api.ts";

const OPTIONS = { longs: String, enums: String, bytes: String };

/**
 * The part of grpc.reflection.v1 that is needed to begin.
 * https://github.com/grpc/grpc-proto/blob/master/grpc/reflection/v1/reflection.proto
 */
const REFLECTION = fromJSON({
  nested: {
    Request: {
      fields: {
        fileContainingSymbol: { type: "string", id: 4 },
        listServices: { type: "string", id: 7 },
      },
    },
    Response: {
      fields: {
        fileDescriptorResponse: { type: "Files", id: 4 },
        listServicesResponse: { type: "Services", id: 6 },
        errorResponse: { type: "Problem", id: 7 },
      },
    },
    Files: { fields: { fileDescriptorProto: { rule: "repeated", type: "bytes", id: 1 } } },
    Services: { fields: { service: { rule: "repeated", type: "Service", id: 1 } } },
    Service: { fields: { name: { type: "string", id: 1 } } },
    Problem: { fields: { errorMessage: { type: "string", id: 2 } } },
    ServerReflection: {
      methods: {
        ServerReflectionInfo: {
          requestType: "Request",
          requestStream: true,
          responseType: "Response",
          responseStream: true,
          comment: "",
        },
      },
    },
  },
});

type ReflectionRequest = { listServices?: string; fileContainingSymbol?: string };
type ReflectionResponse = {
  fileDescriptorResponse?: { fileDescriptorProto: Buffer[] };
  listServicesResponse?: { service: { name: string }[] };
  errorResponse?: { errorMessage: string };
};

export type ServiceMethods = Record<string, grpc.MethodDefinition<object, object>>;

export type Reflected = {
  services: string[];
  /** The methods of a service by name. */
  methods(service: string): ServiceMethods;
};

/** Asks the server for all its services, by `grpc.reflection.v1` or `v1alpha`. */
export async function reflectServer(client: grpc.Client, version: "v1" | "v1alpha" = "v1"): Promise<Reflected> {
  const { requestSerialize, responseDeserialize } = methodsOf(REFLECTION, "ServerReflection")["ServerReflectionInfo"]!;
  const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
  const stream = client.makeBidiStreamRequest<object, object>(path, requestSerialize, responseDeserialize);
  const replies = stream[Symbol.asyncIterator]() as AsyncIterator<ReflectionResponse>;
  const ask = async (request: ReflectionRequest): Promise<ReflectionResponse> => {
    stream.write(request);
    const { value } = (await replies.next()) as { value: ReflectionResponse };
    if (value.errorResponse !== undefined) throw new Error(value.errorResponse.errorMessage);
    return value;
  };
  const { listServicesResponse } = await ask({ listServices: "*" });
  const services = (listServicesResponse?.service ?? []).map(({ name }) => name);
  const files = new Map<string, Buffer>();
  for (const service of services) {
    const { fileDescriptorResponse } = await ask({ fileContainingSymbol: service });
    for (const file of fileDescriptorResponse?.fileDescriptorProto ?? []) files.set(nameOf(file), file);
  }
  stream.end();
  // FileDescriptorSet: field 1, once for each file.
  const set = Buffer.concat([...files.values()].flatMap((file) => [Buffer.from([0x0a]), varint(file.length), file]));
  const definition = loadFileDescriptorSetFromBuffer(set, OPTIONS);
  return { services, methods: (service) => methodsOf(definition, service) };
}

function methodsOf(definition: PackageDefinition, service: string): ServiceMethods {
  const found = definition[service];
  if (found === undefined || "format" in found) throw new Error(`no service ${service}`);
  return found;
}

/** The name of a FileDescriptorProto: its first field. */
function nameOf(file: Buffer): string {
  const name = new Map(fieldsOf(file).toReversed()).get(1);
  if (name === undefined) throw new Error("a file descriptor has no name");
  return name.toString();
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Buffer.from([...bytes, rest]);
}
