/** gRPC reflection, v1 and v1alpha: tools learn the API from the server itself. */
import type { ServerReflection as ReflectionV1 } from "@aerodb/rpc/grpc/reflection/v1/reflection_pb.js";
import type { ServerReflection as ReflectionV1Alpha } from "@aerodb/rpc/grpc/reflection/v1alpha/reflection_pb.js";
import {
  create,
  createFileRegistry,
  type DescFile,
  type DescService,
  type FileRegistry,
  toBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ServiceImpl } from "@connectrpc/connect";

/** What both versions ask, in the words they share. */
type Ask =
  | { readonly case: "fileByFilename" | "fileContainingSymbol"; readonly value: string }
  | { readonly case: "allExtensionNumbersOfType" | "listServices"; readonly value: string }
  | {
      readonly case: "fileContainingExtension";
      readonly value: { readonly containingType: string; readonly extensionNumber: number };
    }
  | { readonly case: undefined; readonly value?: undefined };

/** What both versions answer. */
type Answer =
  | {
      readonly case: "fileDescriptorResponse";
      readonly value: { readonly fileDescriptorProto: Uint8Array[] };
    }
  | {
      readonly case: "allExtensionNumbersResponse";
      readonly value: { readonly baseTypeName: string; readonly extensionNumber: number[] };
    }
  | {
      readonly case: "listServicesResponse";
      readonly value: { readonly service: { readonly name: string }[] };
    }
  | {
      readonly case: "errorResponse";
      readonly value: { readonly errorCode: number; readonly errorMessage: string };
    };

/** Answers what is asked about a set of services. */
export function reflectionOf(services: readonly DescService[]): (ask: Ask) => Answer {
  const files = withDependencies(services.map(({ file }) => file));
  const registry = createFileRegistry(
    create(FileDescriptorSetSchema, { file: files.map(({ proto }) => proto) }),
  );
  return (ask) => answer(ask, services, registry);
}

function answer(ask: Ask, services: readonly DescService[], registry: FileRegistry): Answer {
  switch (ask.case) {
    case "fileByFilename":
      return filesFrom(registry.getFile(ask.value), ask.value);
    case "fileContainingSymbol":
      return filesFrom(fileOfSymbol(registry, ask.value), ask.value);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = ask.value;
      const extended = registry.getMessage(containingType);
      const found = extended && registry.getExtensionFor(extended, extensionNumber);
      return filesFrom(found?.file, `extension ${extensionNumber} of ${containingType}`);
    }
    case "allExtensionNumbersOfType":
      return extensionNumbers(registry, ask.value);
    case "listServices":
      return {
        case: "listServicesResponse",
        value: { service: services.map(({ typeName }) => ({ name: typeName })) },
      };
    case undefined:
      return error(Code.InvalidArgument, "nothing was asked");
  }
}

function extensionNumbers(registry: FileRegistry, typeName: string): Answer {
  if (registry.getMessage(typeName) === undefined) return notFound(typeName);
  const numbers = [...registry]
    .filter((type) => type.kind === "extension" && type.extendee.typeName === typeName)
    .map((extension) => (extension.kind === "extension" ? extension.number : 0));
  return {
    case: "allExtensionNumbersResponse",
    value: { baseTypeName: typeName, extensionNumber: numbers },
  };
}

/** The file of a type, or of the type that a method, field or value belongs to. */
function fileOfSymbol(registry: FileRegistry, symbol: string): DescFile | undefined {
  const owner = symbol.slice(0, Math.max(symbol.lastIndexOf("."), 0));
  return (registry.get(symbol) ?? registry.get(owner))?.file;
}

function filesFrom(file: DescFile | undefined, wanted: string): Answer {
  if (file === undefined) return notFound(wanted);
  const files = withDependencies([file]).map(({ proto }) =>
    toBinary(FileDescriptorProtoSchema, proto),
  );
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto: files } };
}

function notFound(wanted: string): Answer {
  return error(Code.NotFound, `${wanted} is not known here`);
}

function error(errorCode: Code, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}

/** The files and all they import, each once, after what it imports. */
function withDependencies(files: readonly DescFile[]): DescFile[] {
  const found = new Map<string, DescFile>();
  function visit(file: DescFile): void {
    if (found.has(file.name)) return;
    for (const dependency of file.dependencies) visit(dependency);
    found.set(file.name, file);
  }
  for (const file of files) visit(file);
  return [...found.values()];
}

type Answering = (ask: Ask) => Answer;

export function reflectionV1(answering: Answering): ServiceImpl<typeof ReflectionV1> {
  return {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        yield {
          validHost: request.host,
          originalRequest: request,
          messageResponse: answering(request.messageRequest),
        };
      }
    },
  };
}

export function reflectionV1Alpha(answering: Answering): ServiceImpl<typeof ReflectionV1Alpha> {
  return {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        yield {
          validHost: request.host,
          originalRequest: request,
          messageResponse: answering(request.messageRequest),
        };
      }
    },
  };
}
