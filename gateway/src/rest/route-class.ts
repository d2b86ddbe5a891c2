/** What kind of request it was: few words, whatever strangers ask for. */
import type { Binding } from "./bindings.ts";

const HEALTH: ReadonlySet<string> = new Set(["livez", "readyz"]);

/** A request that was answered, or whose caller left before that. */
export interface AnsweredRequest {
  /** `tenants` of `/v1/tenants/…`; `health`, `connect` for Connect's own paths, else `other`. */
  readonly routeClass: string;
  /** 499 where the caller left before there was an answer, as proxies have it. */
  readonly status: number;
  readonly seconds: number;
}

export const CALLER_LEFT = 499;

/** Tells the class of a path with its query. */
export function routeClasses(bindings: readonly Binding[]): (path: string) => string {
  const known = new Set(bindings.map(({ segments }) => wordOf(literalOf(segments[1]))));
  return (path) => {
    const [first = "", second = ""] = path.split("?", 1)[0]?.split("/").slice(1) ?? [];
    if (HEALTH.has(first)) return "health";
    if (first.startsWith("aerodb.")) return "connect";
    const word = first === "v1" ? wordOf(second) : "";
    return word !== "" && known.has(word) ? word : "other";
  };
}

function literalOf(segment: Binding["segments"][number] | undefined): string {
  return segment?.kind === "literal" ? segment.text : "";
}

/** Without what is asked of a collection: `pricing` of `pricing:calculate`. */
function wordOf(text: string): string {
  return text.split(":", 1)[0] ?? "";
}
