// PostgreSQL's log positions: "16/B374D848" is high and low half in hexadecimal.

/** null for what is not an LSN. */
export function parseLsn(text: string | null | undefined): bigint | null {
  const match = /^([0-9a-f]{1,8})\/([0-9a-f]{1,8})$/i.exec(text ?? '');
  if (!match) return null;
  return (BigInt(`0x${match[1]}`) << 32n) + BigInt(`0x${match[2]}`);
}

/** The earliest of some positions, as it was written; null when none is known. */
export function earliestLsn(texts: readonly (string | null | undefined)[]): string | null {
  let best: { text: string; value: bigint } | null = null;
  for (const text of texts) {
    const value = parseLsn(text);
    if (value !== null && text && (best === null || value < best.value)) best = { text, value };
  }
  return best?.text ?? null;
}
