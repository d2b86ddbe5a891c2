import type { InvoiceLineSchema } from "@aerodb/rpc/aerodb/control/v1/billing_service_pb.js";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Invoice, textOfLine } from "../app/invoices.ts";

/** A line as people read it, and exactly. */
export function encodeLine(
  line: Invoice["lines"][number],
  month: Invoice["month"],
): MessageInitShape<typeof InvoiceLineSchema> {
  const { kind, subject, microUsd, amountMicroUsd } = line;
  return {
    ...textOfLine(line, month),
    ...{ kind, subject, microUsd, amountMicroUsd },
    quantityExact: line.quantity.toString(),
    includedExact: line.allowance.toString(),
    chargedExact: line.billable.toString(),
    per: line.per.toString(),
  };
}
