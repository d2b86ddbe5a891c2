/**
 * Copies the third-party .proto files we import into third_party/, from the npm packages that hold
 * them. `buf` fetches nothing here, so they are vendored; run this after an upgrade of a package.
 *
 * No npm package ships buf/validate/validate.proto, but @bufbuild/protovalidate holds its
 * descriptor, so that one is printed. Its options (the CEL text of each rule) are left out: the
 * rules run from the descriptor at run time, and `buf` only needs the names and numbers.
 */
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type DescEnum,
  type DescExtension,
  type DescField,
  type DescFile,
  type DescMessage,
  ScalarType,
} from "@bufbuild/protobuf";
import { FieldDescriptorProto_Label } from "@bufbuild/protobuf/wkt";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

const root = fileURLToPath(new URL("../../", import.meta.url));

const COPIES = [
  ["google-proto-files/google/api/annotations.proto", "google/api/annotations.proto"],
  ["google-proto-files/google/api/http.proto", "google/api/http.proto"],
  ["google-proto-files/google/api/httpbody.proto", "google/api/httpbody.proto"],
  ["grpc-health-check/proto/health/v1/health.proto", "grpc/health/v1/health.proto"],
  [
    "@grpc/reflection/build/proto/grpc/reflection/v1/reflection.proto",
    "grpc/reflection/v1/reflection.proto",
  ],
  [
    "@grpc/reflection/build/proto/grpc/reflection/v1alpha/reflection.proto",
    "grpc/reflection/v1alpha/reflection.proto",
  ],
] as const;

function main(): void {
  for (const [from, to] of COPIES) {
    const target = join(root, "third_party", to);
    mkdirSync(dirname(target), { recursive: true });
    cpSync(join(root, "node_modules", from), target);
  }
  const target = join(root, "third_party/buf/validate/validate.proto");
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, printFile(file_buf_validate_validate));
}

function printFile(file: DescFile): string {
  const lines = [
    "// Printed by tools/src/vendor-protos.ts from the descriptor in @bufbuild/protovalidate",
    "// (Apache-2.0, Copyright Buf Technologies, Inc.).",
    'syntax = "proto2";',
    `package ${file.proto.package};`,
    ...file.proto.dependency.map((path) => `import "${path}";`),
    ...file.enums.flatMap(printEnum),
    ...file.messages.flatMap(printMessage),
    ...file.extensions.flatMap(printExtension),
  ];
  return `${lines.join("\n")}\n`;
}

function printMessage(message: DescMessage): string[] {
  const plain = message.fields.filter((field) => field.oneof === undefined);
  return [
    `message ${message.name} {`,
    ...message.proto.extensionRange.map(({ start, end }) => {
      const last = (end ?? 0) > 536_870_911 ? "max" : String((end ?? 0) - 1);
      return `extensions ${start} to ${last};`;
    }),
    ...message.nestedEnums.flatMap(printEnum),
    ...message.nestedMessages
      .filter((nested) => nested.proto.options?.mapEntry !== true)
      .flatMap(printMessage),
    ...plain.map(printField),
    ...message.oneofs.flatMap((oneof) => [
      `oneof ${oneof.name} {`,
      ...oneof.fields.map((field) => `${typeName(field)} ${field.name} = ${field.number};`),
      "}",
    ]),
    "}",
  ];
}

function printEnum(desc: DescEnum): string[] {
  return [
    `enum ${desc.name} {`,
    ...desc.values.map((value) => `${value.name} = ${value.number};`),
    "}",
  ];
}

function printExtension(extension: DescExtension): string[] {
  return [`extend .${extension.extendee.typeName} {`, printField(extension), "}"];
}

function printField(field: DescField | DescExtension): string {
  if (field.fieldKind === "map") {
    return `${typeName(field)} ${field.name} = ${field.number};`;
  }
  const repeated = field.proto.label === FieldDescriptorProto_Label.REPEATED;
  const label = repeated ? "repeated" : "optional";
  return `${label} ${typeName(field)} ${field.name} = ${field.number};`;
}

function typeName(field: DescField | DescExtension): string {
  switch (field.fieldKind) {
    case "scalar":
      return ScalarType[field.scalar].toLowerCase();
    case "enum":
      return `.${field.enum.typeName}`;
    case "message":
      return `.${field.message.typeName}`;
    case "list":
      if (field.listKind === "scalar") return ScalarType[field.scalar].toLowerCase();
      return `.${field.listKind === "enum" ? field.enum.typeName : field.message.typeName}`;
    case "map":
      throw new Error("bug: validate.proto has no map fields");
  }
}

main();
