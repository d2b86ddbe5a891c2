/** What a refusal says beyond its sentence, for people. */
import type { Fault } from "@aerodb/model";

/** A line for each detail that is not already in the sentence, word for word. */
export function reasonsOf({ message, details }: Pick<Fault, "message" | "details">): string[] {
  return Object.entries(details)
    .filter(([, value]) => !textsIn(value).every((text) => message.includes(text)))
    .map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
}

function textsIn(value: unknown): string[] {
  if (typeof value === "object" && value !== null) return Object.values(value).flatMap(textsIn);
  return [String(value)];
}
