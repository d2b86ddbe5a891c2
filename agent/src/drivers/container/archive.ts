/**
 * Writes a tar archive. Nothing in it depends on when or by whom it is written, so that equal
 * contents are equal archives.
 */
import { open } from "node:fs/promises";

export type ArchiveEntry =
  | { readonly kind: "directory"; readonly name: string }
  | { readonly kind: "link"; readonly name: string; readonly target: string }
  | {
      readonly kind: "file";
      readonly name: string;
      /** Where its contents are read from. */
      readonly source: string;
      readonly bytes: number;
      readonly executable: boolean;
    };

const BLOCK = 512;
const CHUNK = 1024 * 1024;
const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
/** Where a field of a header is, and how long. */
const FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  target: [157, 100],
  magic: [257, 8],
  prefix: [345, 155],
} as const;

/** The archive, piece by piece. A file that changes size while it is read is a bug. */
export async function* archiveOf(entries: readonly ArchiveEntry[]): AsyncGenerator<Buffer> {
  for (const entry of entries) {
    yield headerOf(entry);
    if (entry.kind === "file") yield* contentsOf(entry.source, entry.bytes);
  }
  yield Buffer.alloc(2 * BLOCK);
}

async function* contentsOf(source: string, bytes: number): AsyncGenerator<Buffer> {
  const file = await open(source);
  try {
    for (let at = 0; at < bytes; ) {
      const length = Math.min(CHUNK, bytes - at);
      const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, at);
      if (bytesRead === 0) throw new Error(`bug: ${source} became shorter while it was read`);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
  const surplus = bytes % BLOCK;
  if (surplus > 0) yield Buffer.alloc(BLOCK - surplus);
}

function headerOf(entry: ArchiveEntry): Buffer {
  const header = Buffer.alloc(BLOCK);
  function put(field: keyof typeof FIELDS, text: string): void {
    const [at, length] = FIELDS[field];
    if (Buffer.byteLength(text) > length) throw new Error(`bug: ${text} is too long for a tar`);
    header.write(text, at, "utf8");
  }
  const { name, prefix } = split(entry.kind === "directory" ? `${entry.name}/` : entry.name);
  put("name", name);
  put("prefix", prefix);
  put("mode", octal(modeOf(entry), "mode"));
  for (const field of ["uid", "gid", "mtime"] as const) put(field, octal(0, field));
  put("size", octal(entry.kind === "file" ? entry.bytes : 0, "size"));
  put("type", TYPES[entry.kind]);
  if (entry.kind === "link") put("target", entry.target);
  put("magic", "ustar\u000000");
  put("checksum", " ".repeat(FIELDS.checksum[1]));
  const sum = header.reduce((total, byte) => total + byte, 0);
  put("checksum", `${sum.toString(8).padStart(6, "0")}\0 `);
  return header;
}

const TYPES = { file: "0", link: "2", directory: "5" } as const;

function modeOf(entry: ArchiveEntry): number {
  switch (entry.kind) {
    case "directory":
      return 0o755;
    case "link":
      return 0o777;
    case "file":
      return entry.executable ? 0o755 : 0o644;
  }
}

function octal(value: number, field: keyof typeof FIELDS): string {
  return `${value.toString(8).padStart(FIELDS[field][1] - 1, "0")}\0`;
}

/** A name longer than its field continues in front of it, parted at a slash. */
function split(name: string): { readonly name: string; readonly prefix: string } {
  if (Buffer.byteLength(name) <= NAME_BYTES) return { name, prefix: "" };
  for (let at = name.indexOf("/"); at > 0; at = name.indexOf("/", at + 1)) {
    const [prefix, rest] = [name.slice(0, at), name.slice(at + 1)];
    if (Buffer.byteLength(rest) > NAME_BYTES || rest === "") continue;
    if (Buffer.byteLength(prefix) <= PREFIX_BYTES) return { name: rest, prefix };
  }
  throw new Error(`bug: ${name} is too long for a tar`);
}
