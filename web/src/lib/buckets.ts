// From a range of time to the buckets of a chart. Pure.

import { parseTime, toNumber } from './format';
import type { ActivityBucket, Bucket, Op } from './types';

export const kBucketMs: Readonly<Record<Bucket, number>> = {
  minute: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
};
export const kOps: readonly Op[] = ['insert', 'update', 'delete', 'truncate', 'read'];

/** More tables than this in one chart become "other tables". */
export const kMaxSeries = 7;
/** A range of more buckets than this is not drawn; the API would be asked for too much. */
export const kMaxBuckets = 4000;

export type Preset = '15m' | '1h' | '24h' | '7d';
const presetMs: Readonly<Record<Preset, number>> = {
  '15m': 15 * kBucketMs.minute,
  '1h': kBucketMs.hour,
  '24h': kBucketMs.day,
  '7d': 7 * kBucketMs.day,
};

export interface Range {
  from: number;
  /** Not part of the range. */
  to: number;
  bucket: Bucket;
}

/** The finest bucket that still leaves bars wide enough to see. */
export function chooseBucket(from: number, to: number): Bucket {
  const span = to - from;
  if (span <= 4 * kBucketMs.hour) return 'minute';
  return span <= 10 * kBucketMs.day ? 'hour' : 'day';
}

const floorTo = (ms: number, bucket: Bucket): number =>
  Math.floor(ms / kBucketMs[bucket]) * kBucketMs[bucket];
const ceilTo = (ms: number, bucket: Bucket): number =>
  Math.ceil(ms / kBucketMs[bucket]) * kBucketMs[bucket];

/** Whole buckets that end with the one that runs now: "last hour" is 60 of them, always. */
export function presetRange(preset: Preset, now: number): Range {
  const span = presetMs[preset];
  const bucket = chooseBucket(0, span);
  const to = floorTo(now, bucket) + kBucketMs[bucket];
  return { from: to - span, to, bucket };
}

/** Whole buckets around two given times; null with the reason when they make no range. */
export function customRange(from: string, to: string): Range | { problem: string } {
  const start = parseTime(from);
  const end = parseTime(to);
  if (start === null || end === null) return { problem: 'Choose a start and an end.' };
  if (end <= start) return { problem: 'The end must be after the start.' };
  const bucket = chooseBucket(start, end);
  const range = { from: floorTo(start, bucket), to: ceilTo(end, bucket), bucket };
  if ((range.to - range.from) / kBucketMs[bucket] > kMaxBuckets) {
    return { problem: 'That is more than ten years. Choose a shorter range.' };
  }
  return range;
}

export interface Series {
  key: string;
  values: number[];
  total: number;
}

export const seriesTotal = (values: readonly (number | null)[]): number =>
  values.reduce<number>((sum, value) => sum + (value ?? 0), 0);

export interface Stack {
  /** Start of each bucket, in milliseconds, none missing. */
  times: number[];
  series: Series[];
}

/**
 * One value for each bucket of the range and each operation (or table): what the API leaves out
 * because nothing happened is 0 here. Several API rows of one bucket are added up; rows outside
 * the range are ignored.
 */
export function stackBuckets(
  rows: readonly ActivityBucket[],
  range: Range,
  by: 'op' | 'table',
  measure: 'changes' | 'bytes',
): Stack {
  const step = kBucketMs[range.bucket];
  const length = Math.max(0, Math.round((range.to - range.from) / step));
  const times = Array.from({ length }, (_, index) => range.from + index * step);
  const found = new Map<string, Series>();
  for (const row of rows) {
    const at = parseTime(row.time);
    const index = at === null ? -1 : Math.floor((at - range.from) / step);
    if (index < 0 || index >= length) continue;
    const key = row[by];
    let series = found.get(key);
    if (!series)
      found.set(key, (series = { key, values: new Array<number>(length).fill(0), total: 0 }));
    const value = toNumber(row[measure]) ?? 0;
    series.values[index] = (series.values[index] ?? 0) + value;
    series.total += value;
  }
  return { times, series: by === 'op' ? orderOps(found) : largestFirst(found, length) };
}

function orderOps(found: ReadonlyMap<string, Series>): Series[] {
  const rank = (key: string): number => {
    const index = kOps.indexOf(key as Op);
    return index < 0 ? kOps.length : index;
  };
  return [...found.values()].sort((a, b) => rank(a.key) - rank(b.key));
}

function largestFirst(found: ReadonlyMap<string, Series>, length: number): Series[] {
  const sorted = [...found.values()].sort((a, b) => b.total - a.total || (a.key < b.key ? -1 : 1));
  if (sorted.length <= kMaxSeries) return sorted;
  const other: Series = {
    key: 'other tables',
    values: new Array<number>(length).fill(0),
    total: 0,
  };
  for (const series of sorted.slice(kMaxSeries)) {
    series.values.forEach(
      (value, index) => (other.values[index] = (other.values[index] ?? 0) + value),
    );
    other.total += series.total;
  }
  return [...sorted.slice(0, kMaxSeries), other];
}

export interface TableTotals extends Record<Op, number> {
  table: string;
  changes: number;
  bytes: number;
}

const noTotals = (table: string): TableTotals => ({
  table,
  insert: 0,
  update: 0,
  delete: 0,
  truncate: 0,
  read: 0,
  changes: 0,
  bytes: 0,
});

/** Totals of each table, the busiest first, and of all of them. Empty filters let all through. */
export function tableTotals(
  rows: readonly ActivityBucket[],
  filter: { table: string; op: string },
): { tables: TableTotals[]; sum: TableTotals } {
  const found = new Map<string, TableTotals>();
  const sum = noTotals('All tables');
  for (const row of rows) {
    if ((filter.table && row.table !== filter.table) || (filter.op && row.op !== filter.op))
      continue;
    let totals = found.get(row.table);
    if (!totals) found.set(row.table, (totals = noTotals(row.table)));
    for (const into of [totals, sum]) {
      if ((kOps as readonly string[]).includes(row.op))
        into[row.op as Op] += toNumber(row.changes) ?? 0;
      into.changes += toNumber(row.changes) ?? 0;
      into.bytes += toNumber(row.bytes) ?? 0;
    }
  }
  const tables = [...found.values()];
  tables.sort((a, b) => b.changes - a.changes || (a.table < b.table ? -1 : 1));
  return { tables, sum };
}
