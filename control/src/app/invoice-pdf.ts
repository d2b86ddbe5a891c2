/** An invoice as a page that one would send: A4, in the fonts that every reader of PDF has. */
import { grouped, moneyText } from "@aerodb/model";
import PdfDocument from "pdfkit";
import { lineText } from "../metering/invoice-text.ts";
import type { Invoice } from "./invoices.ts";

type Page = InstanceType<typeof PdfDocument>;

export interface PdfContext {
  /** Who bills; several lines when it has line breaks. */
  readonly issuer: string;
  /** Now, for what is not closed. */
  readonly at: Date;
}

interface Column {
  readonly title: string;
  readonly x: number;
  readonly width: number;
  readonly align: "left" | "right";
}

const [LEFT, RIGHT, TOP, LAST_LINE] = [56, 539, 56, 700];
const WIDTH = RIGHT - LEFT;
const [REGULAR, BOLD] = ["Helvetica", "Helvetica-Bold"];
const [INK, FAINT, RULE, ACCENT] = ["#1b1f24", "#667078", "#d5dade", "#1f5f8b"];
const COLUMNS: readonly Column[] = [
  { title: "Description", x: LEFT, width: 96, align: "left" },
  { title: "Used", x: 152, width: 66, align: "right" },
  { title: "Included", x: 220, width: 66, align: "right" },
  { title: "Charged", x: 288, width: 66, align: "right" },
  { title: "Rate", x: 370, width: 106, align: "left" },
  { title: "Amount", x: 476, width: RIGHT - 476, align: "right" },
];
const NOTES = [
  "Amounts are in US dollars, each line rounded to the cent. A GB is 1,073,741,824 bytes.",
  "A GB-month is a GB kept for all of the month. Months begin and end at midnight UTC.",
];

export async function renderPdf(invoice: Invoice, context: PdfContext): Promise<Uint8Array> {
  const page = new PdfDocument({
    size: "A4",
    margin: 0,
    info: {
      Title: titleOf(invoice),
      Author: firstLine(context.issuer),
      CreationDate: invoice.closed?.at ?? context.at,
    },
  });
  const chunks: Buffer[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  page.on("data", (chunk: Buffer) => chunks.push(chunk));
  page.on("end", () => resolve(Buffer.concat(chunks)));
  page.on("error", reject);
  drawHead(page, invoice, context);
  const below = drawLines(page, invoice, drawFacts(page, invoice, context));
  drawTotals(page, invoice, below);
  drawFoot(page, invoice);
  page.end();
  return promise;
}

function titleOf({ closed, month }: Invoice): string {
  return closed === undefined ? `Draft of ${month.name}` : `Invoice ${closed.number}`;
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}

function drawHead(page: Page, invoice: Invoice, { issuer }: PdfContext): void {
  const [name, ...rest] = issuer.split("\n");
  page.rect(0, 0, 596, 8).fill(ACCENT);
  page.font(BOLD).fontSize(15).fillColor(INK);
  page.text(name ?? "", LEFT, TOP, { width: WIDTH / 2 });
  page.font(REGULAR).fontSize(9).fillColor(FAINT);
  for (const line of rest) page.text(line, { width: WIDTH / 2 });
  const word = invoice.closed === undefined ? "Draft" : "Invoice";
  page.font(BOLD).fontSize(24).fillColor(ACCENT);
  page.text(word, LEFT, TOP - 6, { width: WIDTH, align: "right" });
}

/** Whom, for what and when. Returns where what follows may begin. */
function drawFacts(page: Page, invoice: Invoice, { at }: PdfContext): number {
  const { closed, month, tenantId, tenantName } = invoice;
  const y = 150;
  page.font(REGULAR).fontSize(8).fillColor(FAINT).text("BILLED TO", LEFT, y);
  page
    .font(BOLD)
    .fontSize(12)
    .fillColor(INK)
    .text(tenantName, LEFT, y + 13, { width: 240 });
  page.font(REGULAR).fontSize(9).fillColor(FAINT).text(tenantId, { width: 240 });
  const facts = [
    ["Number", closed === undefined ? "none before the month is closed" : String(closed.number)],
    ["For", monthText(month.startsAt)],
    closed === undefined ? ["As of", dayText(at)] : ["Date", dayText(closed.at)],
    ["Reference", closed?.id ?? "current"],
  ];
  for (const [index, [title = "", value = ""]] of facts.entries()) {
    const line = y + index * 16;
    page.font(REGULAR).fontSize(9).fillColor(FAINT).text(title, 318, line);
    page.fillColor(INK).text(value, 372, line, { width: RIGHT - 372, align: "right" });
  }
  return y + facts.length * 16 + 34;
}

function drawLines(page: Page, invoice: Invoice, top: number): number {
  let y = drawTitles(page, top);
  for (const line of invoice.lines) {
    if (y > LAST_LINE) {
      page.addPage();
      y = drawTitles(page, TOP);
    }
    const said = lineText(line, invoice.month);
    const included = line.kind === "plan" ? "" : grouped(said.included);
    const cells = [
      said.description,
      ...[grouped(said.quantity), included, grouped(said.charged), said.rate],
      moneyText(line.amountMicroUsd),
    ];
    page.font(REGULAR).fontSize(9).fillColor(INK);
    drawCells(page, cells, y);
    page.fontSize(7.5).fillColor(FAINT);
    drawCells(page, [`in ${said.unit}`], y + 12);
    y += 30;
    drawRule(page, y - 6);
  }
  if (invoice.lines.length > 0) return y;
  page.font(REGULAR).fontSize(9).fillColor(FAINT);
  page.text("Nothing was used on any plan.", LEFT, y);
  return y + 24;
}

function drawTitles(page: Page, y: number): number {
  page.font(BOLD).fontSize(8).fillColor(FAINT);
  drawCells(
    page,
    COLUMNS.map(({ title }) => title.toUpperCase()),
    y,
  );
  drawRule(page, y + 14);
  return y + 23;
}

function drawCells(page: Page, cells: readonly string[], y: number): void {
  for (const [index, cell] of cells.entries()) {
    const column = COLUMNS[index];
    if (column === undefined || cell === "") continue;
    page.text(cell, column.x, y, { width: column.width, align: column.align });
  }
}

function drawTotals(page: Page, invoice: Invoice, top: number): void {
  const needed = 110;
  const y = top + needed > LAST_LINE + 60 ? TOP : top + 8;
  if (y === TOP) page.addPage();
  const { subtotalMicroUsd, creditMicroUsd, totalMicroUsd, forecast } = invoice;
  const rows = [
    ["Subtotal", moneyText(subtotalMicroUsd)],
    ...(creditMicroUsd === 0n ? [] : [["Paid by credit notes", moneyText(-creditMicroUsd)]]),
  ];
  page.font(REGULAR).fontSize(9.5).fillColor(INK);
  for (const [index, row] of rows.entries()) drawTotal(page, row, y + index * 17);
  const below = y + rows.length * 17 + 4;
  drawRule(page, below, 318);
  page.font(BOLD).fontSize(13);
  const total = invoice.closed === undefined ? "Total so far" : "Total due";
  drawTotal(page, [total, `${moneyText(totalMicroUsd)} USD`], below + 9);
  if (forecast === undefined) return;
  page.font(REGULAR).fontSize(9).fillColor(FAINT);
  const expected = moneyText(forecast.totalMicroUsd);
  drawTotal(page, ["Expected at the end of the month", expected], below + 32);
}

function drawTotal(page: Page, [title = "", amount = ""]: readonly string[], y: number): void {
  page.text(title, 318, y, { width: 150, lineBreak: false });
  page.text(amount, 400, y, { width: RIGHT - 400, align: "right" });
}

function drawFoot(page: Page, { inputsSha256 }: Invoice): void {
  drawRule(page, 762);
  page.font(REGULAR).fontSize(7.5).fillColor(FAINT);
  for (const [index, note] of NOTES.entries()) page.text(note, LEFT, 770 + index * 11);
  page.text(`Follows from inputs with the SHA-256 ${inputsSha256}`, LEFT, 792);
}

function drawRule(page: Page, y: number, from = LEFT): void {
  page.moveTo(from, y).lineTo(RIGHT, y).lineWidth(0.6).strokeColor(RULE).stroke();
}

function monthText(at: Date): string {
  return at.toLocaleDateString("en-US", { month: "long", year: "numeric", timeZone: "UTC" });
}

function dayText(at: Date): string {
  const day = { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" } as const;
  return at.toLocaleDateString("en-US", day);
}
