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

test("the help of a piece names the home that it has, and no flags of verbs that ask control", () => {
  const program = new Command().option("--url <url>").configureHelp({ showGlobalOptions: true });
  addPieces(program);
  const agent = program.commands.find((each) => each.name() === "agent");
  let help = "";
  agent?.configureOutput({ writeOut: (text) => (help += text) });
  agent?.outputHelp();
  expect(help).toMatch(/--home <directory> says .*AERODB_AGENT_HOME; default: \/.*agent/);
  expect(help).not.toContain("--url");
});
