/** The comments of the contracts. Stubs do not hold them; an image made by `buf build` does. */
import type { DescField, DescFile, DescMessage, DescMethod, DescService } from "@bufbuild/protobuf";

type Commented = DescMessage | DescField | DescService | DescMethod;

/** Numbers of the fields in descriptor.proto, which is how comments are filed. */
const MESSAGES = 4;
const SERVICES = 6;
const FIELDS = 2;
const METHODS = 2;

const commentsByFile = new WeakMap<DescFile, ReadonlyMap<string, string>>();

/** The comment before a declaration, as one paragraph. */
export function commentOf(desc: Commented): string {
  const file = desc.kind === "field" || desc.kind === "rpc" ? desc.parent.file : desc.file;
  return commentsOf(file).get(pathOf(desc, file).join(".")) ?? "";
}

function pathOf(desc: Commented, file: DescFile): readonly number[] {
  switch (desc.kind) {
    case "message":
      return [MESSAGES, file.messages.indexOf(desc)];
    case "field":
      return [...pathOf(desc.parent, file), FIELDS, desc.parent.fields.indexOf(desc)];
    case "service":
      return [SERVICES, file.services.indexOf(desc)];
    case "rpc":
      return [...pathOf(desc.parent, file), METHODS, desc.parent.methods.indexOf(desc)];
  }
}

function commentsOf(file: DescFile): ReadonlyMap<string, string> {
  let comments = commentsByFile.get(file);
  if (comments === undefined) {
    const locations = file.proto.sourceCodeInfo?.location ?? [];
    comments = new Map(
      locations.map(({ path, leadingComments }) => [
        path.join("."),
        leadingComments.trim().replace(/\s*\n\s*/g, " "),
      ]),
    );
    commentsByFile.set(file, comments);
  }
  return comments;
}
