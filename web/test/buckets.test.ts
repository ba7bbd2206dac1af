import { describe, expect, it } from 'vitest';
import {
  chooseBucket,
  customRange,
  kMaxSeries,
  presetRange,
  stackBuckets,
  tableTotals,
} from '../src/lib/buckets';
import type { Range } from '../src/lib/buckets';
import type { ActivityBucket } from '../src/lib/types';

const at = (text: string): number => Date.parse(text);
const bucket = (time: string, table: string, op: string, changes: number): ActivityBucket => ({
  time,
  table,
  op,
  changes,
  bytes: changes * 10,
  transactions: 1,
});

describe('a preset', () => {
  const now = at('2026-11-21T14:03:21Z');
  it.each([
    ['15m', 'minute', 15, '2026-11-21T14:04:00Z'],
    ['1h', 'minute', 60, '2026-11-21T14:04:00Z'],
    ['24h', 'hour', 24, '2026-11-21T15:00:00Z'],
    ['7d', 'hour', 168, '2026-11-21T15:00:00Z'],
  ] as const)('%s is whole %ss, %i of them, the last one running', (preset, unit, length, end) => {
    const range = presetRange(preset, now);
    expect(range).toMatchObject({ bucket: unit, to: at(end) });
    expect(stackBuckets([], range, 'op', 'changes').times).toHaveLength(length);
  });
});

describe('a custom range', () => {
  it('covers its times with whole buckets', () => {
    expect(customRange('2026-11-21T14:00:30Z', '2026-11-21T14:05:10Z')).toEqual({
      from: at('2026-11-21T14:00:00Z'),
      to: at('2026-11-21T14:06:00Z'),
      bucket: 'minute',
    });
  });
  it.each([
    ['', '', 'Choose a start and an end.'],
    ['2026-11-21T14:00:00Z', '2026-11-21T14:00:00Z', 'The end must be after the start.'],
    [
      '1990-01-01T00:00:00Z',
      '2026-11-21T14:00:00Z',
      'That is more than ten years. Choose a shorter range.',
    ],
  ])('from "%s" to "%s" is refused', (from, to, problem) =>
    expect(customRange(from, to)).toEqual({ problem }),
  );
  it.each([
    [4 * 3600e3, 'minute'],
    [4 * 3600e3 + 1, 'hour'],
    [10 * 86400e3, 'hour'],
    [10 * 86400e3 + 1, 'day'],
  ])('of %i ms has a bucket of a %s', (span, unit) => expect(chooseBucket(0, span)).toBe(unit));
});

describe('stacking', () => {
  const range: Range = {
    from: at('2026-11-21T14:00:00Z'),
    to: at('2026-11-21T14:03:00Z'),
    bucket: 'minute',
  };
  const rows = [
    bucket('2026-11-21T14:02:00Z', 'public.b', 'delete', 4),
    bucket('2026-11-21T14:00:00Z', 'public.a', 'insert', 1),
    bucket('2026-11-21T14:00:00Z', 'public.b', 'insert', 2),
    bucket('2026-11-21T13:59:00Z', 'public.a', 'insert', 100),
    bucket('2026-11-21T14:03:00Z', 'public.a', 'insert', 100),
    bucket('no time', 'public.a', 'insert', 100),
  ];
  it('adds up by operation, fills gaps with 0 and leaves out what is outside', () => {
    const { times, series } = stackBuckets(rows, range, 'op', 'changes');
    expect(times.map((ms) => new Date(ms).toISOString().slice(11, 16))).toEqual([
      '14:00',
      '14:01',
      '14:02',
    ]);
    expect(series).toEqual([
      { key: 'insert', values: [3, 0, 0], total: 3 },
      { key: 'delete', values: [0, 0, 4], total: 4 },
    ]);
  });
  it('by table has the busiest first, in bytes when asked', () => {
    expect(stackBuckets(rows, range, 'table', 'bytes').series).toEqual([
      { key: 'public.b', values: [20, 0, 40], total: 60 },
      { key: 'public.a', values: [10, 0, 0], total: 10 },
    ]);
  });
  it('puts tables beyond the limit together, losing nothing', () => {
    const many = Array.from({ length: kMaxSeries + 3 }, (_, index) =>
      bucket('2026-11-21T14:01:00Z', `t${index}`, 'insert', index + 1),
    );
    const { series } = stackBuckets(many, range, 'table', 'changes');
    expect(series).toHaveLength(kMaxSeries + 1);
    expect(series[kMaxSeries]).toEqual({ key: 'other tables', values: [0, 6, 0], total: 6 });
    expect(series.reduce((sum, one) => sum + one.total, 0)).toBe(55);
  });
});

describe('totals', () => {
  const rows = [
    bucket('2026-11-21T14:00:00Z', 'public.a', 'insert', 1),
    bucket('2026-11-21T14:01:00Z', 'public.a', 'insert', 2),
    bucket('2026-11-21T14:00:00Z', 'public.a', 'delete', 1),
    bucket('2026-11-21T14:00:00Z', 'public.b', 'read', 9),
  ];
  it('are by table, the busiest first, with their sum', () => {
    const { tables, sum } = tableTotals(rows, { table: '', op: '' });
    expect(tables.map((one) => [one.table, one.insert, one.delete, one.read, one.changes])).toEqual(
      [
        ['public.b', 0, 0, 9, 9],
        ['public.a', 3, 1, 0, 4],
      ],
    );
    expect(sum).toMatchObject({ changes: 13, bytes: 130 });
  });
  it('obey both filters', () => {
    expect(tableTotals(rows, { table: 'public.a', op: 'delete' }).sum.changes).toBe(1);
    expect(tableTotals(rows, { table: 'public.b', op: 'delete' }).tables).toEqual([]);
  });
});
