/** gRPC server reflection (https://github.com/grpc/grpc/blob/master/doc/server-reflection.md), so that grpcurl and
 *  clients without generated code can read the contract from the server. v1 and v1alpha have the same shape. */
import { type DescExtension, type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";

/** A request of either version of the protocol. */
type ReflectionRequest = {
  host: string;
  messageRequest:
    | { case: "fileByFilename" | "fileContainingSymbol" | "allExtensionNumbersOfType" | "listServices"; value: string }
    | { case: "fileContainingExtension"; value: { containingType: string; extensionNumber: number } }
    | { case: undefined; value?: undefined };
};

type MessageResponse =
  | { case: "fileDescriptorResponse"; value: { fileDescriptorProto: Uint8Array[] } }
  | { case: "allExtensionNumbersResponse"; value: { baseTypeName: string; extensionNumber: number[] } }
  | { case: "listServicesResponse"; value: { service: { name: string }[] } }
  | { case: "errorResponse"; value: { errorCode: number; errorMessage: string } };

/** The files of the services and all their imports, by every key that clients look up. */
export type ReflectionIndex = {
  services: readonly string[];
  filesByName: ReadonlyMap<string, DescFile>;
  filesBySymbol: ReadonlyMap<string, DescFile>;
  extensionsByType: ReadonlyMap<string, readonly DescExtension[]>;
};

export function createReflectionIndex(services: readonly DescService[]): ReflectionIndex {
  const filesByName = new Map<string, DescFile>();
  const filesBySymbol = new Map<string, DescFile>();
  const extensionsByType = new Map<string, DescExtension[]>();
  const add = (file: DescFile): void => {
    if (filesByName.has(fileName(file))) return;
    filesByName.set(fileName(file), file);
    for (const type of nestedTypes(file)) {
      filesBySymbol.set(type.typeName, file);
      if (type.kind === "service") {
        for (const method of type.methods) filesBySymbol.set(`${type.typeName}.${method.name}`, file);
      } else if (type.kind === "extension") {
        const others = extensionsByType.get(type.extendee.typeName) ?? [];
        extensionsByType.set(type.extendee.typeName, [...others, type]);
      }
    }
    for (const dependency of file.dependencies) add(dependency);
  };
  for (const service of services) add(service.file);
  return { services: services.map(({ typeName }) => typeName), filesByName, filesBySymbol, extensionsByType };
}

/** Answers requests one by one. A file is sent with its imports, each file once per stream. */
export async function* reflect<Request extends ReflectionRequest>(
  index: ReflectionIndex,
  requests: AsyncIterable<Request>,
): AsyncGenerator<{ validHost: string; originalRequest: Request; messageResponse: MessageResponse }> {
  const sent = new Set<DescFile>();
  for await (const request of requests) {
    const messageResponse = respond(index, request, sent);
    yield { validHost: request.host, originalRequest: request, messageResponse };
  }
}

function respond(index: ReflectionIndex, { messageRequest }: ReflectionRequest, sent: Set<DescFile>): MessageResponse {
  switch (messageRequest.case) {
    case "fileByFilename":
      return fileResponse(index.filesByName.get(messageRequest.value), messageRequest.value, sent);
    case "fileContainingSymbol":
      return fileResponse(index.filesBySymbol.get(messageRequest.value), messageRequest.value, sent);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = messageRequest.value;
      const extensions = index.extensionsByType.get(containingType) ?? [];
      const extension = extensions.find(({ number }) => number === extensionNumber);
      return fileResponse(extension?.file, `extension ${extensionNumber} of ${containingType}`, sent);
    }
    case "allExtensionNumbersOfType": {
      const baseTypeName = messageRequest.value;
      if (!index.filesBySymbol.has(baseTypeName)) return notFound(baseTypeName);
      const extensionNumber = (index.extensionsByType.get(baseTypeName) ?? []).map(({ number }) => number);
      return { case: "allExtensionNumbersResponse", value: { baseTypeName, extensionNumber } };
    }
    case "listServices":
      return { case: "listServicesResponse", value: { service: index.services.map((name) => ({ name })) } };
    case undefined:
      return {
        case: "errorResponse",
        value: { errorCode: Code.InvalidArgument, errorMessage: "the request is empty" },
      };
  }
}

function fileResponse(file: DescFile | undefined, name: string, sent: Set<DescFile>): MessageResponse {
  if (file === undefined) return notFound(name);
  // The requested file is always sent; its imports are sent only if this stream has not sent them yet.
  sent.delete(file);
  const files: DescFile[] = [];
  const collect = (next: DescFile): void => {
    if (sent.has(next)) return;
    sent.add(next);
    files.push(next);
    for (const dependency of next.dependencies) collect(dependency);
  };
  collect(file);
  const fileDescriptorProto = files.map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function notFound(name: string): MessageResponse {
  return { case: "errorResponse", value: { errorCode: Code.NotFound, errorMessage: `not found: ${name}` } };
}

/** Descriptors of protobuf-es name their files without `.proto`; the protocol names them with it. */
function fileName(file: DescFile): string {
  return file.proto.name;
}
