import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { replaceFile, replaceFileSync } from "./replace-file.ts";

const directory = mkdtempSync(join(tmpdir(), "replace-file-"));
afterAll(() => rmSync(directory, { recursive: true }));

async function atOnce(...how: Parameters<typeof replaceFileSync>): Promise<void> {
  replaceFileSync(...how);
}

test.each([
  ["waiting", replaceFile],
  ["at once", atOnce],
])("a file is replaced %s, whatever an earlier attempt left", async (name, replace) => {
  const path = join(directory, name);
  writeFileSync(`${path}.new`, "half of something much lon");
  await replace(path, "first", { mode: 0o644 });
  await replace(path, Buffer.from("second"), { flush: false });
  expect(readFileSync(path, "utf8")).toBe("second");
  await replace(path, "third");
  expect(readFileSync(path, "utf8")).toBe("third");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(directory).filter((each) => each.startsWith(name))).toEqual([name]);
});

test("what cannot be written leaves the file as it was", async () => {
  const path = join(directory, "kept");
  replaceFileSync(path, "as it was");
  const lone = Symbol("no data") as unknown as string;
  await expect(replaceFile(path, lone)).rejects.toThrow();
  expect(() => replaceFileSync(path, lone)).toThrow();
  expect(readFileSync(path, "utf8")).toBe("as it was");
});
