import { Fault, isId } from "@aerodb/model";
import type { Operation } from "../store/operations.ts";
import * as store from "../store/operations.ts";
import type { Control } from "./control.ts";
import { makePageToken, pageSizeOf, readPageToken } from "./page-token.ts";

export type { Operation };

export interface OperationFilter {
  readonly pageSize?: number;
  readonly pageToken?: string;
  /** Id of a tenant; empty for all. */
  readonly tenantId?: string;
}

export interface OperationPage {
  readonly operations: readonly Operation[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** OPERATION_NOT_FOUND when there is none. */
export async function getOperation(control: Control, id: string): Promise<Operation> {
  const found = isId("op", id) ? await store.findOperation(control.database, id) : undefined;
  if (found !== undefined) return found;
  throw new Fault("OPERATION_NOT_FOUND", `There is no operation ${JSON.stringify(id)}.`);
}

/** A page of operations, newest first. */
export async function listOperations(
  control: Control,
  filter: OperationFilter,
): Promise<OperationPage> {
  const { tenantId = "" } = filter;
  const limit = pageSizeOf(filter.pageSize);
  const filters = ["operations", tenantId];
  const before = readPageToken(filters, filter.pageToken);
  if (tenantId !== "" && !isId("ten", tenantId)) return { operations: [], nextPageToken: "" };
  const found = await store.listOperations(control.database, {
    tenantId: tenantId === "" ? null : tenantId,
    before,
    limit: limit + 1,
  });
  const operations = found.slice(0, limit);
  const last = operations.at(-1);
  const nextPageToken =
    found.length > limit && last !== undefined ? makePageToken(filters, last.id) : "";
  return { operations, nextPageToken };
}
