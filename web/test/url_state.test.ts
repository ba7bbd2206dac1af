import { describe, expect, it } from 'vitest';
import { kDefaults, onPage, parseUrl, writeUrl } from '../src/lib/url_state';
import type { UrlState } from '../src/lib/url_state';

const state = (change: Partial<UrlState>): UrlState => ({ ...kDefaults, ...change });

describe('an address', () => {
  it.each<[string, Partial<UrlState>]>([
    ['', {}],
    [
      '?page=activity&range=24h&table=public.accounts&op=insert',
      { page: 'activity', range: '24h', table: 'public.accounts', op: 'insert' },
    ],
    [
      '?page=activity&range=custom&from=2026-11-21T13:00:00Z&to=2026-11-21T14:00:00Z',
      {
        page: 'activity',
        range: 'custom',
        from: '2026-11-21T13:00:00Z',
        to: '2026-11-21T14:00:00Z',
      },
    ],
    [
      '?page=activity&by=table&measure=bytes&live=0&tail=1',
      { page: 'activity', by: 'table', measure: 'bytes', live: false, tail: true },
    ],
    [
      '?page=views&view=per+minute&order=-balance&offset=50&limit=100',
      { page: 'views', view: 'per minute', order: '-balance', offset: 50, limit: 100 },
    ],
    ['?page=sql&sql=SELECT+%27%26%27', { page: 'sql', sql: "SELECT '&'" }],
  ])('"%s" is what its state is written as, and reads back', (text, change) => {
    expect(writeUrl(state(change))).toBe(text);
    expect(parseUrl(text)).toEqual(state(change));
  });

  it.each<[string, Partial<UrlState>]>([
    ['?page=nowhere', {}],
    ['?page=views&offset=-3&limit=0', { page: 'views', limit: 1 }],
    ['?page=views&limit=999999', { page: 'views', limit: 10_000 }],
    ['?page=activity&range=1y&op=drop&live=maybe', { page: 'activity' }],
    ['?token=secret&unknown=1', {}],
  ])('"%s" opens with defaults in place of what is wrong', (text, change) => {
    expect(parseUrl(text)).toEqual(state(change));
  });

  it('holds only what its page uses', () => {
    expect(writeUrl(state({ page: 'tables', range: '7d', view: 'balance' }))).toBe('?page=tables');
    expect(writeUrl(state({ page: 'activity', range: '1h', from: 'x', to: 'y' }))).toBe(
      '?page=activity',
    );
  });
});

describe('going to another page or view', () => {
  const deep = state({
    page: 'views',
    view: 'balance',
    order: '-balance',
    offset: 100,
    as: 'chart',
  });
  it('forgets paging and sorting', () => {
    expect(onPage(deep, { view: 'total' })).toMatchObject({
      view: 'total',
      order: '',
      offset: 0,
      as: 'table',
    });
    expect(onPage(deep, { page: 'tables' })).toMatchObject({ page: 'tables', offset: 0 });
  });
  it('keeps them within a view', () => {
    expect(onPage(deep, { offset: 150 })).toMatchObject({
      order: '-balance',
      offset: 150,
      as: 'chart',
    });
  });
});
