// Which cells of a page of rows changed since the last look. Pure.
//
// A view has no declared key, so the columns that tell rows apart are found: the first prefix of
// columns, or single column, whose values are unique in both looks and meet again most often.

import { cell } from './format';
import type { Cell } from './types';

export interface RowDiff {
  /** Per row of the new look: "new", or the indexes of its changed cells. */
  rows: ('new' | ReadonlySet<number>)[];
  /** A name of each row that stays the same as long as its key does. */
  keys: string[];
}

type Table = readonly (readonly Cell[])[];

function keysBy(rows: Table, columns: readonly number[]): string[] | null {
  const seen = new Set<string>();
  const keys = rows.map((row) => columns.map((index) => cell(row[index])).join('\u0000'));
  for (const key of keys) {
    if (seen.has(key)) return null;
    seen.add(key);
  }
  return keys;
}

function candidates(width: number): number[][] {
  const singles = Array.from({ length: width }, (_, index) => [index]);
  const prefixes: number[][] = [];
  for (let length = 2; length < width; length += 1) {
    prefixes.push(Array.from({ length }, (_, index) => index));
  }
  return [...singles, ...prefixes];
}

const kNothing: ReadonlySet<number> = new Set();

export function diffRows(before: Table | null, after: Table): RowDiff {
  const width = after[0]?.length ?? 0;
  const still = (keys: string[]): RowDiff => ({ rows: after.map(() => kNothing), keys });
  const numbers = after.map((_, index) => String(index));
  if (before === null || before.length === 0 || before[0]?.length !== width) return still(numbers);

  let best: { was: Map<string, readonly Cell[]>; keys: string[]; met: number } | null = null;
  for (const columns of candidates(width)) {
    const keys = keysBy(after, columns);
    const old = keys && keysBy(before, columns);
    if (!keys || !old) continue;
    const was = new Map(old.map((key, index) => [key, before[index] ?? []]));
    const met = keys.filter((key) => was.has(key)).length;
    if (met > (best?.met ?? 0)) best = { was, keys, met };
  }
  if (best === null) {
    // One row whose every value changed (a single sum) is still the same row.
    if (before.length !== 1 || after.length !== 1) return still(numbers);
    return { rows: [changed(before[0] ?? [], after[0] ?? [])], keys: numbers };
  }
  const { was, keys } = best;
  const rows = after.map((row, index) => {
    const old = was.get(keys[index] ?? '');
    return old ? changed(old, row) : 'new';
  });
  return { rows, keys };
}

function changed(old: readonly Cell[], row: readonly Cell[]): ReadonlySet<number> {
  const indexes = row.flatMap((value, index) => (cell(value) === cell(old[index]) ? [] : [index]));
  return indexes.length ? new Set(indexes) : kNothing;
}
