/** Lines of an invoice, and of what would be one, as a table. */
import { grouped, moneyText } from "@aerodb/model";
import type { InvoiceLine } from "@aerodb/rpc/aerodb/control/v1/billing_service_pb.js";
import type { Column } from "../output.ts";

export const LINES: readonly Column<InvoiceLine>[] = [
  { title: "what", of: ({ description }) => description },
  { title: "used", of: ({ quantity }) => grouped(quantity) },
  { title: "included", of: ({ kind, included }) => (kind === "plan" ? "-" : grouped(included)) },
  { title: "charged", of: ({ charged }) => grouped(charged) },
  { title: "unit", of: ({ unit }) => unit },
  { title: "rate", of: ({ rate }) => rate },
  { title: "amount", of: ({ amountMicroUsd }) => moneyText(amountMicroUsd) },
];
