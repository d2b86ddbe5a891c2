/**
 * The control file of a data directory, and the identifier in it that ties WAL to its server.
 * Clones of one template must differ in it, or one tenant's WAL could be replayed into another's.
 */
import { randomBytes } from "node:crypto";
import { open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "@aerodb/model";
import { crc32c, crc32cDone, crc32cNext } from "./crc32c.ts";
import { readPlainFile, whyUnreadable } from "./plain-file.ts";

const CONTROL_FILE = join("global", "pg_control");
/** The part of the control file that is written as one sector; the sum is within. */
const SECTOR_BYTES = 512;
/** The version of the file's layout: 1300 from Postgres 13 on, 1800 from 18 on. */
const LAYOUT_AT = 8;
const LAYOUT_OF_18 = 1_800;
/** The version of checksums stands before a nonce of 32 bytes, since 18 before a flag as well. */
const CHECKSUMS_BEFORE_SUM = 36;
const CHECKSUMS_BEFORE_SUM_18 = 40;
const STATE_AT = 16;
const STATE_SHUT_DOWN = 1;
const CHECKPOINT_AT = 32;
/** In a WAL page: flags, and in a long header the identifier and the segment's size. */
const PAGE_INFO_AT = 2;
const PAGE_IDENTIFIER_AT = 24;
const PAGE_SEGMENT_BYTES_AT = 32;
const LONG_HEADER = 2;
const SEGMENT_NAME = /^[0-9A-F]{24}$/;

/** An identifier that no other server has: 63 random bits. */
export function newSystemIdentifier(): bigint {
  return randomBytes(8).readBigUInt64BE() >> 1n;
}

/**
 * Reads the system identifier of a data directory, whether or not its server runs. Throws
 * UNAVAILABLE when somebody put something else in the place of the control file.
 */
export async function readSystemIdentifier(dataDirectory: string): Promise<bigint> {
  return (await readSector(dataDirectory)).readBigUInt64LE(0);
}

/** Whether the pages of a data directory carry checksums. Throws UNAVAILABLE likewise. */
export async function readChecksums(dataDirectory: string): Promise<boolean> {
  const sector = await readSector(dataDirectory);
  const before =
    sector.readUInt32LE(LAYOUT_AT) < LAYOUT_OF_18 ? CHECKSUMS_BEFORE_SUM : CHECKSUMS_BEFORE_SUM_18;
  return sector.readUInt32LE(findSum(sector) - before) !== 0;
}

/** Gives a data directory that was shut down cleanly another system identifier. */
export async function setSystemIdentifier(
  dataDirectory: string,
  identifier: bigint,
): Promise<void> {
  const path = join(dataDirectory, CONTROL_FILE);
  const sector = (await readFile(path)).subarray(0, SECTOR_BYTES);
  requireShutDown(sector, dataDirectory);
  const sumAt = findSum(sector);

  sector.writeBigUInt64LE(identifier, 0);
  sector.writeUInt32LE(crc32c(sector.subarray(0, sumAt)), sumAt);
  await patch(path, sector, 0);
  for (const segment of await listSegments(dataDirectory)) await stamp(segment, identifier);
}

/** The WAL segment in which a cleanly stopped server goes on; the others are of no use to it. */
export async function readCurrentSegment(dataDirectory: string): Promise<string> {
  const control = await readFile(join(dataDirectory, CONTROL_FILE));
  requireShutDown(control, dataDirectory);
  const checkpoint = control.readBigUInt64LE(CHECKPOINT_AT);
  const [first] = await listSegments(dataDirectory);
  if (first === undefined) throw new Error(`bug: no WAL in ${dataDirectory}`);
  const page = (await readFile(first)).subarray(0, PAGE_SEGMENT_BYTES_AT + 4);
  const segmentBytes = BigInt(page.readUInt32LE(PAGE_SEGMENT_BYTES_AT));
  const high = hex(checkpoint >> 32n);
  const low = hex((checkpoint & 0xffff_ffffn) / segmentBytes);
  return `${hex(1n)}${high}${low}`;
}

/** Paths of the WAL segments, oldest first. */
export async function listSegments(dataDirectory: string): Promise<readonly string[]> {
  const directory = join(dataDirectory, "pg_wal");
  const names = (await readdir(directory)).filter((name) => SEGMENT_NAME.test(name)).toSorted();
  return names.map((name) => join(directory, name));
}

async function readSector(dataDirectory: string): Promise<Buffer> {
  const path = join(dataDirectory, CONTROL_FILE);
  const sector = await readPlainFile(path, SECTOR_BYTES).catch((error: unknown) => {
    throw damaged(`Could not read ${path}: ${whyUnreadable(error)}`, error);
  });
  if (sector.length === SECTOR_BYTES) return sector;
  throw damaged(`${path} is too short`);
}

function damaged(what: string, cause?: unknown): Fault {
  const help = "put the instance's own data back, or delete its tenant";
  return new Fault("UNAVAILABLE", `${what}. It is not served: ${help}.`, { cause });
}

function requireShutDown(control: Buffer, dataDirectory: string): void {
  if (control.readUInt32LE(STATE_AT) === STATE_SHUT_DOWN) return;
  throw new Error(`bug: the server of ${dataDirectory} was not shut down cleanly`);
}

/** Majors keep the sum at different places: it is where it equals the sum of all before it. */
function findSum(sector: Buffer): number {
  let running = 0xffff_ffff;
  for (let at = 0; at + 4 <= sector.length; at += 1) {
    if (at > STATE_AT && sector.readUInt32LE(at) === crc32cDone(running)) return at;
    running = crc32cNext(running, sector[at] ?? 0);
  }
  throw damaged("The control file, global/pg_control, is damaged: its sum does not match");
}

async function stamp(segment: string, identifier: bigint): Promise<void> {
  const file = await open(segment, "r+");
  try {
    const { buffer: page } = await file.read(Buffer.alloc(PAGE_SEGMENT_BYTES_AT), 0);
    // A segment made ahead of its use is all zeros until the server writes its header.
    if ((page.readUInt16LE(PAGE_INFO_AT) & LONG_HEADER) === 0) return;
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(identifier);
    await file.write(bytes, 0, bytes.length, PAGE_IDENTIFIER_AT);
  } finally {
    await file.close();
  }
}

async function patch(path: string, bytes: Buffer, at: number): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.write(bytes, 0, bytes.length, at);
  } finally {
    await file.close();
  }
}

function hex(value: bigint): string {
  return value.toString(16).toUpperCase().padStart(8, "0");
}
