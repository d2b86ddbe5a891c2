/**
 * A server's log: kept from growing, and read in parts. The server holds the file open and appends,
 * so it is copied and then cut; `postgres.log.<n>` are the copies, oldest first, and what is
 * written now is the one after the last.
 */
import { statSync } from "node:fs";
import {
  copyFile,
  type FileHandle,
  open,
  readdir,
  rename,
  rm,
  stat,
  truncate,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";

const ROTATED_AT_BYTES = 8 * 2 ** 20;
const KEPT = 3;
const NEWLINE = 10;

/** Whole lines, and where the next part begins. */
export interface ServerLogPart {
  readonly text: string;
  readonly cursor: string;
}

interface Position {
  readonly file: number;
  readonly offset: number;
}

/**
 * Copies a log away when it is large. Lines that come between the copy and the cut are copied too.
 */
export async function rotateLog(log: string, atBytes = ROTATED_AT_BYTES): Promise<boolean> {
  // Nearly always this is all. Through the thread pool it would cost a hundred times as much.
  const { size = 0 } = statSync(log, { throwIfNoEntry: false }) ?? {};
  if (size < atBytes) return false;
  const copies = await copiesOf(log);
  const next = (copies.at(-1) ?? 0) + 1;
  const draft = join(dirname(log), `.${basename(log)}.new`);
  await copyFile(log, draft);
  await appendRest(log, draft);
  await rename(draft, `${log}.${next}`);
  await truncate(log);
  for (const old of copies.slice(0, Math.max(0, copies.length + 1 - KEPT))) {
    await rm(`${log}.${old}`, { force: true });
  }
  return true;
}

/** A part of a log; see the contract of drivers. Bytes that are no text are replaced. */
export async function readLog(
  log: string,
  options: { readonly cursor: string; readonly bytes: number },
): Promise<ServerLogPart> {
  const { bytes } = options;
  const copies = await copiesOf(log);
  const current = (copies.at(-1) ?? 0) + 1;
  const from = await resolve(log, { copies, current, ...options });
  let { file, offset } = from;
  const parts: string[] = [];
  for (let left = bytes; left > 0; ) {
    const isCurrent = file >= current;
    const path = isCurrent ? log : `${log}.${file}`;
    const lines = await wholeLines(path, offset, left, { isCurrent, isFirst: parts.length === 0 });
    parts.push(textOf(lines));
    offset += lines.length;
    left -= lines.length;
    if (isCurrent || !(await isRead(`${log}.${file}`, offset))) break;
    file += 1;
    offset = 0;
  }
  return { text: parts.join(""), cursor: `${file}:${offset}` };
}

/** Where to go on reading: what a cursor names, the oldest there is, or close before the end. */
async function resolve(
  log: string,
  about: {
    readonly copies: readonly number[];
    readonly current: number;
    readonly cursor: string;
    readonly bytes: number;
  },
): Promise<Position> {
  const { copies, current } = about;
  const [, file, offset] = /^(\d{1,9}):(\d{1,15})$/.exec(about.cursor) ?? [];
  if (file === undefined || offset === undefined) {
    const size = await sizeOf(log);
    return { file: current, offset: await lineAfter(log, Math.max(0, size - about.bytes)) };
  }
  const wanted = { file: Number(file), offset: Number(offset) };
  const oldest = copies[0] ?? current;
  if (wanted.file < oldest) return { file: oldest, offset: 0 };
  if (wanted.file > current) return { file: current, offset: 0 };
  const path = wanted.file === current ? log : `${log}.${wanted.file}`;
  return (await sizeOf(path)) < wanted.offset ? { ...wanted, offset: 0 } : wanted;
}

/** Offset of the first line that begins at or after an offset. */
async function lineAfter(path: string, offset: number): Promise<number> {
  if (offset === 0) return 0;
  const before = await read(path, offset - 1, 64 * 1_024);
  const newline = before.indexOf(NEWLINE);
  return newline === -1 ? offset : offset + newline;
}

/**
 * Lines from an offset on, of so many bytes at most. A line that does not fit is cut; one that is
 * still being written is left for later.
 */
async function wholeLines(
  path: string,
  offset: number,
  bytes: number,
  of: { readonly isCurrent: boolean; readonly isFirst: boolean },
): Promise<Buffer> {
  const found = await read(path, offset, bytes);
  const end = found.lastIndexOf(NEWLINE) + 1;
  if (end > 0) return found.subarray(0, end);
  const isLater = found.length < bytes ? of.isCurrent : !of.isFirst;
  return isLater ? found.subarray(0, 0) : found;
}

async function isRead(path: string, offset: number): Promise<boolean> {
  return offset >= (await sizeOf(path));
}

/** Control characters would harm whoever shows the text; NUL is refused by many that carry it. */
function textOf(bytes: Buffer): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is replaced.
  return bytes.toString("utf8").replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "\ufffd");
}

async function appendRest(log: string, draft: string): Promise<void> {
  const copied = await sizeOf(draft);
  const rest = await read(log, copied, ROTATED_AT_BYTES);
  if (rest.length === 0) return;
  const file = await open(draft, "a");
  await file.write(rest).finally(() => file.close());
}

async function read(path: string, offset: number, bytes: number): Promise<Buffer> {
  const file: FileHandle | undefined = await open(path, "r").catch(() => undefined);
  if (file === undefined) return Buffer.alloc(0);
  try {
    const { size } = await file.stat();
    const length = Math.min(bytes, Math.max(0, size - offset));
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

/** Numbers of the copies, oldest first. */
async function copiesOf(log: string): Promise<readonly number[]> {
  const prefix = `${basename(log)}.`;
  const names = await readdir(dirname(log)).catch(() => []);
  return names
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length))
    .filter((rest) => /^\d{1,9}$/.test(rest))
    .map(Number)
    .toSorted((a, b) => a - b);
}
