import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "./tidy/source-file.ts";

interface Definition {
  readonly description: string;
  readonly parameters?: readonly { readonly in: string; readonly name: string }[];
}

const text = readFileSync(join(ROOT, "docs/api/openapi.json"), "utf8");
const document = JSON.parse(text) as {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Definition>>>>;
  readonly components: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
};

test("every reference in the document leads to a component", () => {
  const references = [...text.matchAll(/"#\/components\/(\w+)\/(\w+)"/g)];
  const dead = references.filter(
    ([, kind = "", name = ""]) => document.components[kind]?.[name] === undefined,
  );

  expect(references.length).toBeGreaterThan(0);
  expect(dead.map(([reference]) => reference)).toEqual([]);
});

test("every operation has its sentence and a parameter for each name in its path", () => {
  const wrong = Object.entries(document.paths).flatMap(([path, verbs]) => {
    const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    return Object.entries(verbs)
      .filter(([, { description, parameters = [] }]) => {
        const inPath = parameters.filter((each) => each.in === "path").map(({ name }) => name);
        return description === "" || names.join() !== inPath.join();
      })
      .map(([verb]) => `${verb} ${path}`);
  });

  expect(wrong).toEqual([]);
});
