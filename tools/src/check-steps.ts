/** What `npm run check` runs, in the order it starts: the slow steps first. */
export interface CheckStep {
  readonly name: string;
  readonly heading: string;
  /** One after the other; the first that fails ends the step. */
  readonly commands: readonly (readonly string[])[];
  /** What to do when it fails. */
  readonly advice: string;
}

const CODE = ["packages", "control", "agent", "gateway", "cli", "test", "tools"];

export const CHECK_STEPS: readonly CheckStep[] = [
  {
    name: "promises",
    heading: "typescript-eslint: floating and misused promises, exhaustive switches",
    commands: [["eslint", "--max-warnings=0", "."]],
    advice: "Await the promise or say `void` and why; give the switch a case for every member.",
  },
  {
    name: "tidy",
    heading: "Vitest: house rules over the tree, and every RPC against every scope",
    commands: [
      ["vitest", "run", "--project=unit", "--reporter=dot", "tools/src/tidy", "authorisation"],
    ],
    advice: "Each line above names a place and what to do there.",
  },
  {
    name: "generated",
    heading: "generate: stubs, OpenAPI, diagrams, schema.sql are what their sources say",
    commands: [["node", "tools/src/generate.ts", "--check"]],
    advice: "Run `npm run generate` and commit what it writes.",
  },
  {
    name: "unused",
    heading: "knip: unused exports, files and dependencies",
    commands: [["knip", "--no-progress", "--no-config-hints"]],
    advice: "Take out what nothing uses, or the word `export`; list what is used in package.json.",
  },
  {
    name: "types",
    heading: "tsc: types, every strict flag",
    commands: [["node", "node_modules/typescript-7/bin/tsc", "-p", "."]],
    advice: "Correct the types; a cast is the last resort and needs a reason.",
  },
  {
    name: "imports",
    heading: "dependency-cruiser: who may import whom",
    commands: [
      [
        "depcruise",
        "--config=.dependency-cruiser.mjs",
        "--output-type=err-long",
        ...CODE,
        "vitest.config.ts",
      ],
    ],
    advice: "Turn the import around, or decide otherwise in tools/src/import-table.ts.",
  },
  {
    name: "contracts",
    heading: "buf: lint, format, and nothing breaks against main",
    commands: [
      ["buf", "lint"],
      ["buf", "format", "-d", "--exit-code"],
      ["node", "tools/src/breaking.ts"],
    ],
    advice: "`npx buf format -w` formats. A field or RPC that is out in main is not taken back.",
  },
  {
    name: "format",
    heading: "Biome: format and lint",
    commands: [["biome", "check", "--error-on-warnings", "."]],
    advice: "`npm run format` mends most of it.",
  },
];
