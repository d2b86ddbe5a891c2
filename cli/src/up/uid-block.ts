/**
 * Started by root, each server runs under a user of its own. The numbers come from a block that
 * belongs to the home, so that two homes on one machine do not share users; none of them has a
 * name.
 */
import { readFileSync } from "node:fs";

export interface UidBlock {
  /** Who the catalogue runs as. */
  readonly catalogue: number;
  /** Users for the instances of the nth agent, counted from 1. */
  agent(index: number): { readonly base: number; readonly count: number };
}

interface Layout {
  readonly first: number;
  readonly blocks: number;
  readonly blockSize: number;
  readonly perAgent: number;
}

/** Far from what distributions and container engines give away. */
const WIDE: Layout = { first: 1_300_000_000, blocks: 8_000, blockSize: 100_000, perAgent: 1_900 };
/** What is left where a container maps just 65,536 users. */
const NARROW: Layout = { first: 20_000, blocks: 4, blockSize: 10_000, perAgent: 199 };

/** The block of a home, from the hash that stands for it. */
export function uidBlock(hash: string, highestUid: number): UidBlock {
  const layout = highestUid >= WIDE.first + WIDE.blocks * WIDE.blockSize ? WIDE : NARROW;
  const block = Number.parseInt(hash.slice(0, 8), 16) % layout.blocks;
  const start = layout.first + block * layout.blockSize;
  return {
    catalogue: start,
    agent(index) {
      return { base: start + 1 + (index - 1) * layout.perAgent, count: layout.perAgent };
    },
  };
}

/** The highest user number of this user namespace. */
export function highestUid(map: string = readFileSync("/proc/self/uid_map", "utf8")): number {
  const ends = map
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .map(([inside = 0, , count = 0]) => inside + count - 1);
  return Math.max(...ends);
}
