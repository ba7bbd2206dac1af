import { describe, expect, it } from 'vitest';
import * as format from '../src/lib/format';
import { earliestLsn, parseLsn } from '../src/lib/lsn';

function table<T extends unknown[]>(
  name: string,
  shown: (...input: T) => string,
  cases: [T, string][],
): void {
  describe(name, () => {
    it.each(cases)('%j is "%s"', (input, text) => expect(shown(...input)).toBe(text));
  });
}

table('count', format.count, [
  [[0], '0'],
  [[1204332], '1,204,332'],
  [['9007199254740993123'], '9,007,199,254,740,993,123'],
  [[null], '–'],
  [[undefined], '–'],
  [['not a number'], '–'],
]);

table('plural', format.plural, [
  [[1, 'row'], '1 row'],
  [[0, 'row'], '0 rows'],
  [['1', 'row'], '1 row'],
  [[2, 'entry', 'entries'], '2 entries'],
]);

table('bytes', format.bytes, [
  [[0], '0 B'],
  [[1023], '1023 B'],
  [[1024], '1 KiB'],
  [[3_565_158], '3.4 MiB'],
  [[1024 ** 3 * 81], '81 GiB'],
  [[1024 ** 2 - 1], '1 MiB'],
  [['18446744073709551615'], '16384 PiB'],
  [[null], '–'],
]);

table('compact', format.compact, [
  [[0], '0'],
  [[999], '999'],
  [[0.25], '0.25'],
  [[1234], '1.2k'],
  [[999_950], '1M'],
  [[-20_000], '-20k'],
]);

table('rate', format.rate, [
  [[0], '0'],
  [[0.04], '< 0.1'],
  [[12.54], '12.5'],
  [[1250.4], '1,250'],
  [[undefined], '–'],
]);

table('duration', format.duration, [
  [[0], '0 ms'],
  [[-5], '0 ms'],
  [[340], '340 ms'],
  [[9_340], '9.3 s'],
  [[9_960], '10 s'],
  [[59_600], '1 min'],
  [[200_000], '3 min 20 s'],
  [[7_500_000], '2 h 5 min'],
  [[277_200_000], '3 d 5 h'],
  [[null], '–'],
]);

const noon = Date.parse('2026-11-21T11:00:05Z'); // 12:00:05 in the tests' zone

table('moment', (text: string) => format.moment(format.parseTime(text), noon), [
  [['2026-11-21T13:03:21Z'], '14:03:21'],
  [['2026-11-20T23:30:00Z'], '00:30:00'],
  [['2026-11-20T22:30:00Z'], '2026-11-20 23:30:00'],
  [['no time'], '–'],
]);

table('ago', (ms: number) => format.ago(noon - ms, noon), [
  [[300], 'just now'],
  [[-2000], 'just now'],
  [[12_000], '12 s ago'],
  [[7_500_000], '2 h ago'],
]);

table('zone', (text: string) => format.zone(Date.parse(text)), [
  [['2026-11-21T00:00:00Z'], 'Europe/Paris (UTC+1)'],
  [['2026-07-01T00:00:00Z'], 'Europe/Paris (UTC+2)'],
]);

table('cell', format.cell, [
  [['9007199254740993'], '9007199254740993'],
  [[1.5], '1.5'],
  [[false], 'false'],
  [[null], 'NULL'],
  [[['a', 1]], '["a",1]'],
  [[{ a: null }], '{"a":null}'],
]);

describe('types', () => {
  it.each([
    'BIGINT',
    'decimal(18,2)',
    'UINTEGER',
    'HUGEINT',
    'double',
    'DOUBLE PRECISION',
    'numeric',
    'float4',
  ])('%s is a number', (type) => expect(format.isNumericType(type)).toBe(true));
  it.each(['VARCHAR', 'BIGINT[]', 'INTERVAL', 'point', 'TIMESTAMP'])('%s is no number', (type) =>
    expect(format.isNumericType(type)).toBe(false),
  );
  it.each(['TIMESTAMP WITH TIME ZONE', 'DATE', 'timestamptz'])('%s is a time', (type) =>
    expect(format.isTimeType(type)).toBe(true),
  );
});

describe('local input', () => {
  it('is the local time, which reads back as the same moment', () => {
    expect(format.toLocalInput(noon)).toBe('2026-11-21T12:00');
    expect(format.parseTime(format.toLocalInput(noon))).toBe(noon - 5000);
  });
});

describe('lsn', () => {
  it('orders by number, not by text', () => {
    expect(earliestLsn(['10/0', '9/FFFFFFFF', null, 'junk'])).toBe('9/FFFFFFFF');
    expect(earliestLsn([null, undefined])).toBeNull();
  });
  it('reads both halves in hexadecimal', () => {
    expect(parseLsn('1/0000000A')).toBe(4294967306n);
    expect(parseLsn('1-2')).toBeNull();
  });
});
