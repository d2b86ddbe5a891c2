/** The programs of the pieces, and how Node runs them. */
import { fileURLToPath } from "node:url";

export type PieceKind = "control" | "agent" | "gateway";

/** The program of a piece. */
export function scriptOf(piece: PieceKind): string {
  return fileURLToPath(new URL(`../../../${piece}/src/main.ts`, import.meta.url));
}

/**
 * How Node runs a piece. New objects get little room before they are swept: an idle piece then
 * holds three quarters of the memory, and requests take as long as before. What TLS holds outside
 * of the heap is weighed with all the rest: else the engine believes itself short of memory, and
 * sweeps all of it several times a second (decision 31).
 */
const FLAGS: readonly string[] = [
  "--disable-warning=ExperimentalWarning",
  "--max-semi-space-size=2",
  "--external-memory-accounted-in-global-limit",
];

/**
 * What messages that pass by hold outside of the heap comes to tens of megabytes between two sweeps
 * of new objects, and is gone after that. Where the heap may become no more than a third larger,
 * that alone has all of it swept, several times a second.
 */
const RELAYING: readonly string[] = ["--heap-growing-percent=100"];

/** What Node is told before the program of a piece. */
export function flagsOf(piece: PieceKind): readonly string[] {
  return piece === "gateway" ? [...FLAGS, ...RELAYING] : FLAGS;
}

/** Where Node keeps what it compiled, for the next start: with the code, for all homes. */
const COMPILE_CACHE = fileURLToPath(
  new URL("../../../node_modules/.cache/aerodb", import.meta.url),
);

/**
 * How the C library gives memory back: at once, and from two heaps instead of one for each thread.
 * An agent then holds a seventh less.
 */
const SPARING = { MALLOC_ARENA_MAX: "2", MALLOC_TRIM_THRESHOLD_: "1048576" };

/** Variables for Node and the C library, whatever the piece is told. */
export function runtimeEnvironment(piece: PieceKind): Readonly<Record<string, string>> {
  return {
    // Halves the time until a piece serves.
    NODE_COMPILE_CACHE: COMPILE_CACHE,
    // The others move bytes, and would ask the kernel for the same memory again and again.
    ...(piece === "agent" ? SPARING : {}),
  };
}
