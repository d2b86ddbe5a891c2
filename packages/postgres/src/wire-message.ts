/** Messages of the protocol that the gateway writes and reads itself. */
import { type BackendKey, encodeBackendKey, readBackendKey } from "./startup-packet.ts";

/** What the first four bytes of an authentication message say. */
export const AUTHENTICATION = { ok: 0, sasl: 10, saslContinue: 11, saslFinal: 12 } as const;

/** An error or a notice. */
export interface ServerReport {
  readonly severity: "ERROR" | "FATAL" | "PANIC" | "WARNING" | "NOTICE" | "LOG";
  readonly sqlState: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
}

export function encodeMessage(type: string, ...parts: readonly Uint8Array[]): Buffer {
  const payload = Buffer.concat(parts);
  const head = Buffer.alloc(5);
  head.write(type, "latin1");
  head.writeUInt32BE(4 + payload.length, 1);
  return Buffer.concat([head, payload]);
}

export function encodeErrorResponse(report: ServerReport): Buffer {
  return encodeMessage("E", encodeReport(report));
}

export function encodeNoticeResponse(report: ServerReport): Buffer {
  return encodeMessage("N", encodeReport(report));
}

function encodeReport(report: ServerReport): Buffer {
  const fields: readonly (readonly [string, string | undefined])[] = [
    ["S", report.severity],
    ["V", report.severity],
    ["C", report.sqlState],
    ["M", report.message],
    ["D", report.detail],
    ["H", report.hint],
  ];
  const texts = fields
    .filter(([, value]) => value !== undefined)
    // A text that came from elsewhere must not end its field early.
    .map(([letter, value]) => `${letter}${value?.replaceAll("\0", "")}\0`);
  return Buffer.from(`${texts.join("")}\0`);
}

/** The fields of an ErrorResponse or NoticeResponse by their letter. */
export function decodeReport(payload: Buffer): ReadonlyMap<string, string> {
  const texts = payload.toString("utf8").split("\0");
  return new Map(
    texts.filter((text) => text !== "").map((text) => [text.charAt(0), text.slice(1)]),
  );
}

export function encodeAuthentication(
  kind: keyof typeof AUTHENTICATION,
  data: Uint8Array = Buffer.alloc(0),
): Buffer {
  return encodeMessage("R", int32(AUTHENTICATION[kind]), data);
}

export function encodeAuthenticationSasl(mechanisms: readonly string[]): Buffer {
  const names = Buffer.from(`${mechanisms.map((name) => `${name}\0`).join("")}\0`);
  return encodeAuthentication("sasl", names);
}

export function encodeSaslInitialResponse(mechanism: string, data: Uint8Array): Buffer {
  return encodeMessage("p", Buffer.from(`${mechanism}\0`), int32(data.length), data);
}

/** Reads SASLInitialResponse; undefined when it is malformed. */
export function decodeSaslInitialResponse(
  payload: Buffer,
): { readonly mechanism: string; readonly data: Buffer } | undefined {
  const end = payload.indexOf(0);
  if (end < 1 || payload.length < end + 5) return undefined;
  const data = payload.subarray(end + 5);
  if (payload.readInt32BE(end + 1) !== data.length) return undefined;
  return { mechanism: payload.toString("latin1", 0, end), data };
}

export function encodeBackendKeyData(key: BackendKey): Buffer {
  return encodeMessage("K", encodeBackendKey(key));
}

/** Reads the payload of BackendKeyData; undefined when it is malformed. */
export function decodeBackendKeyData(payload: Buffer): BackendKey | undefined {
  return readBackendKey(payload);
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}
