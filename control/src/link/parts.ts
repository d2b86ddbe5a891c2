/** No message carries more entries. */
const ENTRIES_PER_PART = 1_000;

/** Two lists as parts of bounded size, in order; the last says that no more follow. Never empty. */
export function inParts<First, Second>(
  first: readonly First[],
  second: readonly Second[],
  size = ENTRIES_PER_PART,
): (readonly [readonly First[], readonly Second[], boolean])[] {
  const total = first.length + second.length;
  const starts = Array.from({ length: Math.max(1, Math.ceil(total / size)) }, (_, n) => n * size);
  return starts.map((start) => {
    const end = start + size;
    const from = Math.max(0, start - first.length);
    const to = Math.max(0, end - first.length);
    return [first.slice(start, end), second.slice(from, to), end < total] as const;
  });
}
