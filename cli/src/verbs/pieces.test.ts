import { Command } from "commander";
import { expect, test } from "vitest";
import { addPieces } from "./pieces.ts";

test("the help of each piece that joins names the command that makes a token for it", () => {
  const program = new Command();
  addPieces(program);
  const helps = new Map(
    program.commands.map((each) => [each.name(), each.helpInformation().replace(/\s+/g, " ")]),
  );
  expect(helps.get("gateway")).toContain("from aerodb hosts token create --kind gateway;");
  expect(helps.get("agent")).toContain("from aerodb hosts token create;");
});
