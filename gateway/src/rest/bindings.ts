/** Which method a REST request stands for, by the google.api.http option of every method. */
import { http } from "@aerodb/rpc/google/api/annotations_pb.js";
import {
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  type DescService,
  getOption,
} from "@bufbuild/protobuf";

/** One way to call one method over REST. */
export interface Binding {
  readonly method: DescMethodUnary;
  /** HTTP method, in capitals. */
  readonly verb: string;
  readonly segments: readonly Segment[];
  /** Whether the request message is the body. */
  readonly takesBody: boolean;
  /** Field of the response that is the answer; the whole response when undefined. */
  readonly answer: DescField | undefined;
  /** Status of success. */
  readonly status: 200 | 201;
  /** Field of the answer that, after the path, makes the path of what was created. */
  readonly locatedBy: DescField | undefined;
}

type Segment =
  | { readonly kind: "literal"; readonly text: string }
  /** `suffix` is what follows the variable: `:revoke` in `{host}:revoke`, as a rule nothing. */
  | { readonly kind: "variable"; readonly field: DescField; readonly suffix: string };

export type Match =
  | {
      readonly kind: "found";
      readonly binding: Binding;
      readonly variables: readonly (readonly [DescField, string])[];
    }
  | { readonly kind: "wrong_verb"; readonly allowed: readonly string[] }
  | { readonly kind: "unknown" };

/** Every binding of the services. Throws for an option that this reader does not understand. */
export function bindingsOf(services: readonly DescService[]): readonly Binding[] {
  const bindings = services.flatMap((service) => service.methods.flatMap(bindingsOfMethod));
  return bindings.map((binding) => ({ ...binding, locatedBy: locatorOf(binding, bindings) }));
}

/** Finds the binding of a request. The path is split and its escapes are resolved. */
export function findBinding(
  bindings: readonly Binding[],
  verb: string,
  path: readonly string[],
): Match {
  const onPath = bindings.filter(({ segments }) => fits(segments, path));
  const binding = onPath.find((each) => each.verb === verb);
  if (binding !== undefined) {
    const variables = binding.segments.flatMap((segment, at) =>
      segment.kind === "variable"
        ? [[segment.field, withoutSuffix(path[at] ?? "", segment.suffix)] as const]
        : [],
    );
    return { kind: "found", binding, variables };
  }
  if (onPath.length === 0) return { kind: "unknown" };
  const verbs = onPath.flatMap((each) => (each.verb === "GET" ? ["GET", "HEAD"] : [each.verb]));
  return { kind: "wrong_verb", allowed: [...new Set(verbs)].sort() };
}

function fits(segments: readonly Segment[], path: readonly string[]): boolean {
  return (
    segments.length === path.length &&
    segments.every((segment, at) =>
      segment.kind === "literal"
        ? segment.text === path[at]
        : withoutSuffix(path[at] ?? "", segment.suffix) !== "",
    )
  );
}

/** Empty when the text has not that end. */
function withoutSuffix(text: string, suffix: string): string {
  return text.endsWith(suffix) ? text.slice(0, text.length - suffix.length) : "";
}

function bindingsOfMethod(method: DescMethod): Binding[] {
  const rule = getOption(method, http);
  const { case: verb, value: template } = rule.pattern;
  if (verb === undefined) return [];
  if (verb === "custom" || !isUnary(method) || rule.additionalBindings.length > 0) {
    throw new Error(`bug: the google.api.http option of ${method.name} is not understood`);
  }
  if (rule.body !== "" && rule.body !== "*") {
    throw new Error(`bug: the body of ${method.name} is neither nothing nor everything`);
  }
  const creates = method.name.startsWith("Create");
  return [
    {
      method,
      verb: verb.toUpperCase(),
      segments: segmentsOf(template, method.input),
      takesBody: rule.body === "*",
      answer: rule.responseBody === "" ? undefined : fieldOf(method.output, rule.responseBody),
      status: creates ? 201 : 200,
      locatedBy: undefined,
    },
  ];
}

/** Connect's types do not tell the kinds of methods apart by themselves. */
export function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === "unary";
}

function segmentsOf(template: string, input: DescMessage): Segment[] {
  return template
    .split("/")
    .slice(1)
    .map((text) => {
      const [, name, suffix = ""] = /^\{(\w+)\}(:\w+)?$/.exec(text) ?? [];
      if (name !== undefined) return { kind: "variable", field: fieldOf(input, name), suffix };
      return { kind: "literal", text };
    });
}

/**
 * What was created is found under the path and the first field of the answer, if there it can be
 * read.
 */
function locatorOf(binding: Binding, all: readonly Binding[]): DescField | undefined {
  if (binding.status !== 201 || binding.answer?.message === undefined) return undefined;
  const path = binding.segments.map((segment) => (segment.kind === "literal" ? segment.text : "x"));
  const readable = findBinding(all, "GET", [...path, "x"]).kind === "found";
  return readable ? binding.answer.message.fields[0] : undefined;
}

function fieldOf(message: DescMessage, name: string): DescField {
  const field = message.fields.find((each) => each.name === name);
  if (field === undefined) throw new Error(`bug: ${message.typeName} has no field ${name}`);
  return field;
}
