/** Makes dependency-cruiser rules of the table in tools/src/import-table.ts. */
import {
  CODE_FOLDERS,
  IMPORT_TABLE,
  PACKAGE_TESTS_MAY_IMPORT,
  PROCESS_TESTS_MAY_IMPORT,
  TEST_FILE,
} from "./tools/src/import-table.ts";

const TEST = TEST_FILE.source;
const PROCESSES = ["control", "agent", "gateway"];

function literally(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** A regular expression for a folder, a file or `npm:<package>`. */
function patternOf(target) {
  if (target === "npm:") return "^node_modules/";
  if (target.startsWith("npm:")) return `^node_modules/${literally(target.slice(4))}(/|$|-)`;
  if (target.endsWith(".ts")) return `^${literally(target.slice(0, -3))}([.]test)?[.]ts$`;
  return `^${literally(target)}(/|$)`;
}

/** Longer rows take their files away from the shorter rows they lie in. */
function nestedIn(row) {
  return IMPORT_TABLE.filter(({ path }) => path.startsWith(`${row.path}/`)).map(({ path }) =>
    patternOf(path),
  );
}

function testsOf({ path }) {
  if (path.endsWith(".ts")) return `^${literally(path.slice(0, -3))}[.]test[.]ts$`;
  return `${patternOf(path)}.*(${TEST})`;
}

function rulesOf(row) {
  const own = [row.path, ...row.mayImport].map(patternOf);
  const [process] = row.path.split("/");
  const inTests =
    process === "packages" ? PACKAGE_TESTS_MAY_IMPORT : [process, ...PROCESS_TESTS_MAY_IMPORT];
  const rules = [
    {
      name: `imports-of:${row.path}`,
      comment: "The row of this folder in tools/src/import-table.ts does not list that import.",
      from: { path: patternOf(row.path), pathNot: [TEST, ...nestedIn(row)] },
      to: { pathNot: own, dependencyTypesNot: ["core"] },
    },
    {
      name: `imports-of-tests-in:${row.path}`,
      comment:
        "A test may import what its code may, the testkit and its own process; no other process.",
      from: { path: testsOf(row), pathNot: nestedIn(row) },
      to: { pathNot: [...own, ...inTests.map(patternOf)], dependencyTypesNot: ["core"] },
    },
  ];
  if (row.pure !== true) return rules;
  return [
    ...rules,
    {
      name: `pure:${row.path}`,
      comment: "This folder only decides: pass in what it needs to know, return what to do.",
      from: { path: patternOf(row.path), pathNot: [TEST] },
      to: { dependencyTypes: ["core"] },
    },
  ];
}

export default {
  forbidden: [
    {
      name: "no-cycles",
      comment: "Two files need each other: move what both need into a third.",
      from: {},
      to: { circular: true },
    },
    {
      name: "no-unresolved",
      comment: "This import leads nowhere: is the path right, and the package in package.json?",
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: "no-unlisted-folder",
      comment: "This folder has no row in tools/src/import-table.ts: decide what it may import.",
      from: {
        path: `^(${CODE_FOLDERS.join("|")})/`,
        pathNot: IMPORT_TABLE.map(({ path }) => patternOf(path)),
      },
      to: {},
    },
    {
      name: "nobody-imports-main",
      comment: "main.ts is where a process starts: start it as a process, or move what you need.",
      from: { pathNot: "^(test|tools|cli/bin)/" },
      to: { path: "/src/main\\.ts$" },
    },
    {
      name: "only-tests-import-what-is-for-tests",
      comment: "Fakes, throwaway servers, samples and test benches are for tests only.",
      from: { pathNot: [TEST, "^(test|packages/testkit)/"] },
      to: { path: TEST, pathNot: "^packages/testkit/|node_modules" },
    },
    {
      name: "no-driver-imports-another",
      comment: "Drivers are alternatives: move what both need beside driver.ts.",
      from: { path: "^agent/src/drivers/([^/]+)/" },
      to: { path: "^agent/src/drivers/[^/]+/", pathNot: "^agent/src/drivers/$1/" },
    },
    ...PROCESSES.map((process) => ({
      name: `${process}-is-its-own-process`,
      comment: "Processes meet only in proto/: move what both need into a package.",
      from: { path: `^${process}/` },
      to: { path: `^(${[...PROCESSES, "cli"].filter((other) => other !== process).join("|")})/` },
    })),
    ...IMPORT_TABLE.flatMap(rulesOf),
  ].map((rule) => ({ severity: "error", ...rule })),
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^(third_party|coverage|[.]aerodb)/" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "types", "default"],
      extensions: [".ts", ".js", ".d.ts"],
    },
  },
};
