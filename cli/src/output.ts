/** What verbs print on standard output: tables for people, JSON for programs. */
import { styleText } from "node:util";
import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import Table from "cli-table3";
import { terminalText } from "./terminal-text.ts";

export type Format = "table" | "json";

export interface Column<Row> {
  readonly title: string;
  of(row: Row): string;
}

export interface Output {
  /** Several things of one kind: a table, or a JSON array. */
  list<Desc extends DescMessage>(
    schema: Desc,
    rows: readonly MessageShape<Desc>[],
    columns: readonly Column<MessageShape<Desc>>[],
  ): void;
  /** One thing: a line for each of its facts, or a JSON object. */
  one<Desc extends DescMessage>(
    schema: Desc,
    row: MessageShape<Desc>,
    columns: readonly Column<MessageShape<Desc>>[],
  ): void;
  /** What is no message of the API: plain values in place of a schema. */
  plain<Row extends object>(rows: readonly Row[], columns: readonly Column<Row>[]): void;
  json(value: unknown): void;
  text(text: string): void;
  readonly format: Format;
}

export function createOutput(
  format: Format,
  stream: Pick<NodeJS.WriteStream, "write"> & { readonly isTTY?: boolean } = process.stdout,
): Output {
  function text(line: string): void {
    stream.write(`${line}\n`);
  }
  function json(value: unknown): void {
    text(JSON.stringify(value, undefined, 2));
  }
  function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): void {
    const titles = columns.map(({ title }) => dim(title.toUpperCase()));
    text(aligned([titles, ...rows.map((row) => columns.map((column) => cell(column, row)))]));
  }
  function dim(word: string): string {
    return stream.isTTY === true ? styleText("dim", word, { stream: process.stdout }) : word;
  }
  return {
    format,
    json,
    text,
    list(schema, rows, columns) {
      if (format === "json") return json(rows.map((row) => asJson(schema, row)));
      table(rows, columns);
    },
    one(schema, row, columns) {
      if (format === "json") return json(asJson(schema, row));
      text(aligned(columns.map((column) => [dim(column.title), cell(column, row)])));
    },
    plain(rows, columns) {
      if (format === "json") return json(rows);
      table(rows, columns);
    },
  };
}

/** As REST answers it: names as in the contract, and what is empty included. */
export function asJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>) {
  return toJson(schema, message, { useProtoFieldName: true, alwaysEmitImplicit: true });
}

const NO_LINES = Object.fromEntries(
  [
    ...["top", "top-mid", "top-left", "top-right", "bottom", "bottom-mid", "bottom-left"],
    ...["bottom-right", "left", "left-mid", "mid", "mid-mid", "right", "right-mid"],
  ].map((name) => [name, ""]),
);

/** What is shown of a row may have been named by anybody. */
function cell<Row>(column: Column<Row>, row: Row): string {
  return terminalText(column.of(row));
}

/** Cells in columns two blanks apart, without lines around them. */
function aligned(rows: readonly (readonly string[])[]): string {
  const table = new Table({
    chars: { ...NO_LINES, middle: "  " },
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [] },
  });
  table.push(...rows.map((row) => [...row]));
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

/** A time to the second, in UTC. */
export function timeText(at: Timestamp | undefined): string {
  if (at === undefined) return "-";
  return `${timestampDate(at).toISOString().slice(0, 19).replace("T", " ")}Z`;
}
