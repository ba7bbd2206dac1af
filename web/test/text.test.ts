import { describe, expect, it } from 'vitest';
import { EventStreamParser } from '../src/lib/event_stream';
import { sqlName, sqlPieces, toCsv } from '../src/lib/sql_text';

describe('sqlPieces', () => {
  const sql = "SELECT a.\"from\", 'it''s -- no comment' AS t, 12.5 -- end\nFROM tumble(x) /* y */";
  it('loses nothing', () =>
    expect(
      sqlPieces(sql)
        .map((one) => one.text)
        .join(''),
    ).toBe(sql));
  it.each([
    ['keyword', ['SELECT', 'AS', 'FROM', 'tumble']],
    ['text', ["'it''s -- no comment'"]],
    ['number', ['12.5']],
    ['comment', ['-- end', '/* y */']],
  ])('finds each %s', (kind, texts) => {
    expect(
      sqlPieces(sql)
        .filter((one) => one.kind === kind)
        .map((one) => one.text),
    ).toEqual(texts);
  });
});

describe('sqlName', () => {
  it.each([
    ['balance', 'balance'],
    ['per minute', '"per minute"'],
    ['Orders', '"Orders"'],
    ['order', '"order"'],
    ['a"b', '"a""b"'],
  ])('%s is written %s', (name, text) => expect(sqlName(name)).toBe(text));
});

describe('toCsv', () => {
  it('quotes what needs it and leaves NULL empty', () => {
    const columns = [
      { name: 'a,b', type: 'VARCHAR' },
      { name: 'c', type: 'BIGINT' },
    ];
    expect(
      toCsv(columns, [
        ['say "hi"', null],
        ['two\nlines', '9007199254740993'],
      ]),
    ).toBe('"a,b",c\r\n"say ""hi""",\r\n"two\nlines",9007199254740993\r\n');
  });
});

describe('EventStreamParser', () => {
  const text =
    ': hello\n\nid: 1:0/16B3748:1\ndata: {"op":\ndata: 1}\n\nevent: end\r\ndata:bye\r\n\r\nid: 2\n\n';
  const expected = [
    { event: 'message', id: '1:0/16B3748:1', data: '{"op":\n1}' },
    { event: 'end', id: '', data: 'bye' },
  ];
  it.each([1, 2, 3, 7, 1000])('reads events out of pieces of %i characters', (size) => {
    const parser = new EventStreamParser();
    const events = [];
    for (let at = 0; at < text.length; at += size)
      events.push(...parser.push(text.slice(at, at + size)));
    expect(events).toEqual(expected);
  });
});
