/** How one pass of a loop ended. A `Fault` that is thrown instead backs the loop off. */
export type Outcome =
  | { readonly kind: "settled" }
  | { readonly kind: "look_again"; readonly afterMs: number; readonly because: string };

export const settled: Outcome = { kind: "settled" };

export function lookAgain(after: { readonly afterMs: number; readonly because: string }): Outcome {
  return { kind: "look_again", ...after };
}
