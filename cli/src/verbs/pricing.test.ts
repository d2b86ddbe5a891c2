import { InvalidArgumentError } from "commander";
import { expect, test } from "vitest";
import { formatOf, requireFile } from "./billing.ts";
import { parseUnits, unitsText } from "./pricing.ts";

test("usage is read by meter, with sizes", () => {
  expect(parseUnits("api_requests=3000000, storage_bytes = 10GB")).toEqual({
    ...{ api_requests: 3_000_000n, storage_bytes: 10n * 2n ** 30n },
  });
  for (const wrong of [
    "",
    "api_requests",
    "api_requests=",
    "a=1.5GB",
    "a=-1",
    "a=1,,",
    "a=1,a=2",
  ]) {
    expect(() => parseUnits(wrong)).toThrow(InvalidArgumentError);
  }
});

test("units are said as they are written", () => {
  expect(unitsText("api_requests", 1_000_000n)).toBe("1,000,000");
  expect(unitsText("storage_bytes", 500n * 2n ** 20n)).toBe("500 MB for the month");
  expect(unitsText("egress_bytes", 2n ** 40n)).toBe("1 TB");
  expect(unitsText("egress_bytes", 1_001n)).toBe("1,001 bytes");
  expect(unitsText("egress_bytes", 0n)).toBe("0 bytes");
});

test("a file is a PDF, or what its name or the flag says", () => {
  expect(formatOf("acme.pdf", {})).toBe("pdf");
  expect(formatOf("acme.CSV", {})).toBe("csv");
  expect(formatOf("acme.txt", { format: "csv" })).toBe("csv");
  expect(() => requireFile({ format: "csv" })).toThrow(
    "--format is of a file: name it with --file",
  );
  expect(requireFile({})).toBeUndefined();
});
