import { RegionSchema } from "@aerodb/rpc/aerodb/control/v1/region_service_pb.js";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { createOutput, type Format, timeText } from "./output.ts";

const regions = [
  create(RegionSchema, { name: "us-east-1", hosts: 2, connectedHosts: 1 }),
  create(RegionSchema, { name: "eu", hosts: 0 }),
];
const columns = [
  { title: "name", of: ({ name }: { name: string }) => name },
  { title: "hosts", of: ({ hosts }: { hosts: number }) => String(hosts) },
];

function printed(format: Format, print: (output: ReturnType<typeof createOutput>) => void): string {
  let text = "";
  const stream = {
    write(chunk: string | Uint8Array) {
      text += String(chunk);
      return true;
    },
  };
  print(createOutput(format, stream));
  return text;
}

describe("a table", () => {
  test("has aligned columns and no lines", () => {
    const text = printed("table", (output) => output.list(RegionSchema, regions, columns));
    expect(text).toBe("NAME       HOSTS\nus-east-1  2\neu         0\n");
  });

  test("of one thing has a line for each of its facts", () => {
    const text = printed("table", (output) => {
      output.one(RegionSchema, regions[0] as (typeof regions)[0], columns);
    });
    expect(text).toBe("name   us-east-1\nhosts  2\n");
  });

  test("shows what would act on a terminal as text, whoever named it", () => {
    const row = create(RegionSchema, { name: "\u001b[2Jeu\u202e" });
    const text = printed("table", (output) => output.list(RegionSchema, [row], columns));
    expect(text).toContain("\\x1b[2Jeu\\u202e");
    expect(printed("table", (output) => output.one(RegionSchema, row, columns))).toContain("\\x1b");
  });

  test("of nothing is its headings", () => {
    const text = printed("table", (output) => output.list(RegionSchema, [], columns));
    expect(text).toBe("NAME  HOSTS\n");
  });
});

describe("JSON", () => {
  test("has the names of the contract, and what is empty too", () => {
    const text = printed("json", (output) => output.list(RegionSchema, regions, columns));
    expect(JSON.parse(text)).toEqual([
      { name: "us-east-1", hosts: 2, connected_hosts: 1 },
      { name: "eu", hosts: 0, connected_hosts: 0 },
    ]);
  });
});

test("times are shown to the second in UTC", () => {
  expect(timeText(timestampFromDate(new Date("2026-03-04T05:06:07.891Z")))).toBe(
    "2026-03-04 05:06:07Z",
  );
  expect(timeText(undefined)).toBe("-");
});
