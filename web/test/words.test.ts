import { describe, expect, it } from 'vitest';
import type { Status, View } from '../src/lib/types';
import { headline, problems, readingPace } from '../src/lib/words';

const base: Status = {
  state: 'streaming',
  message: '',
  time: '2026-11-21T13:03:21Z',
  source: {
    name: 'bank',
    slot: 'pgweir',
    slot_active: true,
    wal_status: 'reserved',
    retained_wal_bytes: 0,
  },
  log: { last_lsn: '0/16B3748', free_disk_bytes: 50_000_000_000 },
  followers: [
    {
      name: 'engine',
      kind: 'engine',
      state: 'following',
      position: '0/16B3748',
      lag_bytes: 0,
      lag_ms: 3,
    },
    {
      name: 'lake',
      kind: 'parquet',
      state: 'following',
      position: '0/16B3000',
      lag_bytes: 1864,
      lag_ms: 900,
    },
  ],
};
const failedView = { name: 'wrong', state: 'failed', error: 'no column x' } as View;

function engine(change: object): Status {
  return { ...base, followers: [{ ...base.followers![0]!, ...change }, base.followers![1]!] };
}

describe('the headline', () => {
  it('of a pipeline that is well says up to which position, the earliest of all', () => {
    expect(headline(base)).toEqual({
      tone: 'good',
      short: 'Up to date',
      title: 'Streaming. Everything is up to date.',
      detail: 'As of 14:03:21, position 0/16B3000.',
    });
  });

  it.each<[string, Status, string, string]>([
    [
      'a follower behind',
      engine({ lag_ms: 12_000, lag_bytes: 3_565_158 }),
      'warn',
      'Streaming. engine is 12 s behind.',
    ],
    [
      'a failed follower',
      engine({ state: 'failed', lag_ms: null }),
      'bad',
      'Streaming, but engine has stopped.',
    ],
    ['no follower', { ...base, followers: [] }, 'good', 'Streaming. Everything is up to date.'],
    [
      'a snapshot',
      {
        ...base,
        state: 'snapshotting',
        source: {
          ...base.source,
          snapshot: { state: 'running', rows: 5, tables_done: 1, tables_total: 2 },
        },
      },
      'busy',
      'Reading the tables for the first time.',
    ],
    [
      'a full disk',
      { ...base, state: 'waiting_for_disk' },
      'bad',
      'Waiting for disk space. Nothing is lost.',
    ],
    [
      'a lost source',
      { ...base, state: 'reconnecting' },
      'warn',
      'PostgreSQL does not answer. Trying again.',
    ],
    [
      'a failure',
      { ...base, state: 'failed', message: 'slot ahead of the log' },
      'bad',
      'Stopped by an error.',
    ],
    ['a state of a newer server', { ...base, state: 'resting' }, 'idle', 'State: resting.'],
    [
      'the least that a server may say',
      { state: 'streaming', time: base.time, source: { name: 'bank' } },
      'good',
      'Streaming. Everything is up to date.',
    ],
  ])('of %s', (_, status, tone, title) => expect(headline(status)).toMatchObject({ tone, title }));

  it('does not say that all is well when a view failed', () => {
    expect(headline(base, [failedView])).toMatchObject({
      tone: 'bad',
      title: 'Streaming, but 1 view failed.',
    });
  });
});

describe('problems', () => {
  it('are none when all is well', () => expect(problems(base)).toEqual([]));

  it.each<[string, Status, RegExp]>([
    [
      'a failed follower',
      engine({ state: 'failed', error: 'disk gone' }),
      /^engine failed at 0\/16B3748. disk gone$/,
    ],
    ['a lost follower', engine({ state: 'lost' }), /^engine is lost/],
    ['a stopped follower', engine({ state: 'stopped' }), /^engine is stopped/],
    [
      'a follower far behind',
      engine({ lag_ms: 95_000, lag_bytes: 1024 }),
      /^engine is 1 min 35 s \(1 KiB\) behind/,
    ],
    ['a lost slot', { ...base, source: { ...base.source, wal_status: 'lost' } }, /has removed WAL/],
    [
      'a slot in danger',
      { ...base, source: { ...base.source, wal_status: 'unreserved' } },
      /may remove WAL/,
    ],
    [
      'much WAL',
      { ...base, source: { ...base.source, retained_wal_bytes: '5368709120' } },
      /keeps 5 GiB of WAL/,
    ],
    [
      'an alarm of the slot, once',
      {
        ...base,
        source: { ...base.source, wal_status: 'lost', slot_alarm: 'slot is lost: removed' },
        findings: [
          { severity: 'error', subject: 'slot pgweir', message: 'slot is lost: removed', hint: 'x' },
        ],
      },
      /^slot pgweir: slot is lost: removed/,
    ],
    [
      'a slot that nobody reads',
      { ...base, source: { ...base.source, slot_active: false } },
      /Nobody reads slot pgweir/,
    ],
    ['little disk', { ...base, log: { free_disk_bytes: 1024 ** 3 } }, /Only 1 GiB are free/],
    ['a full disk', { ...base, state: 'waiting_for_disk' }, /disk of the data folder is full/],
    [
      'a finding',
      {
        ...base,
        findings: [
          {
            severity: 'warning',
            subject: 'table public.visits',
            message: 'has no primary key',
            hint: 'add one',
          },
        ],
      },
      /^table public.visits: has no primary key$/,
    ],
  ])('name %s and say what to do', (_, status, what) => {
    const found = problems(status);
    expect(found).toHaveLength(1);
    expect(found[0]?.what).toMatch(what);
    expect(found[0]?.todo).not.toBe('');
  });

  it('have the worst first, and leave notes out', () => {
    const status = {
      ...engine({ lag_ms: 95_000 }),
      findings: [
        { severity: 'note', message: 'fine' },
        { severity: 'error', message: 'bad' },
      ],
    };
    expect(problems(status, [failedView]).map((one) => one.tone)).toEqual(['bad', 'bad', 'warn']);
  });
});

describe('the pace of a reading', () => {
  it.each([
    [{ rows: 5 }, '5 rows so far'],
    [{ rows: 1, estimated_rows: null, rows_per_second: 0, seconds_left: null }, '1 row so far'],
    [
      { rows: 1_200, estimated_rows: 4_000_000.4, rows_per_second: 402_117.4, seconds_left: 190 },
      '1,200 of about 4,000,000 rows, 402,117 rows/s, about 3 min 10 s left',
    ],
    [{ rows: 90, estimated_rows: 80, rows_per_second: 3, seconds_left: 0.2 }, '90 rows so far, 3 rows/s, about 1 s left'],
  ])('of %j', (read, words) => {
    expect(readingPace(read)).toBe(words);
  });
});
