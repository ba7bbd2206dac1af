// Everything that a reader chose is in the address, so that a link shows the same to the next one.
// Only what differs from the default, and only what the page at hand uses, is written.

export type Page = 'pipeline' | 'activity' | 'views' | 'tables' | 'sql';
export const kPages: readonly Page[] = ['pipeline', 'activity', 'views', 'tables', 'sql'];

export interface UrlState {
  page: Page;
  range: '15m' | '1h' | '24h' | '7d' | 'custom';
  /** ISO 8601 with zone; only with range "custom". */
  from: string;
  to: string;
  table: string;
  op: string;
  by: 'op' | 'table';
  measure: 'changes' | 'bytes';
  /** Changes as they come, below the activity. */
  tail: boolean;
  live: boolean;
  view: string;
  /** A column, descending with "-" before it; empty for the view's own order. */
  order: string;
  offset: number;
  limit: number;
  as: 'table' | 'chart';
  sql: string;
}

export const kDefaults: Readonly<UrlState> = {
  page: 'pipeline',
  range: '1h',
  from: '',
  to: '',
  table: '',
  op: '',
  by: 'op',
  measure: 'changes',
  tail: false,
  live: true,
  view: '',
  order: '',
  offset: 0,
  limit: 50,
  as: 'table',
  sql: '',
};

type Key = Exclude<keyof UrlState, 'page'>;
const keysOf: Readonly<Record<Page, readonly Key[]>> = {
  pipeline: [],
  activity: ['range', 'from', 'to', 'table', 'op', 'by', 'measure', 'live', 'tail'],
  views: ['view', 'as', 'order', 'offset', 'limit', 'live'],
  tables: ['table'],
  sql: ['sql', 'limit'],
};

const choices: Partial<Record<keyof UrlState, readonly (string | number)[]>> = {
  page: kPages,
  range: ['15m', '1h', '24h', '7d', 'custom'],
  op: ['', 'insert', 'update', 'delete', 'truncate', 'read'],
  by: ['op', 'table'],
  measure: ['changes', 'bytes'],
  as: ['table', 'chart'],
};
const kMaxLimit = 10_000;

/** What is missing, unknown or out of range becomes its default: a mistyped link still opens. */
export function parseUrl(search: string): UrlState {
  const given = new URLSearchParams(search);
  const state: Record<string, string | number | boolean> = { ...kDefaults };
  for (const key of Object.keys(kDefaults) as (keyof UrlState)[]) {
    const text = given.get(key);
    if (text === null) continue;
    const value = parseValue(key, text);
    if (value !== null) state[key] = value;
  }
  return state as unknown as UrlState;
}

function parseValue(key: keyof UrlState, text: string): string | number | boolean | null {
  const initial = kDefaults[key];
  if (typeof initial === 'boolean') return text === '1' ? true : text === '0' ? false : null;
  if (typeof initial === 'number') {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : null;
    return key === 'limit' && number !== null ? Math.min(kMaxLimit, Math.max(1, number)) : number;
  }
  return choices[key]?.includes(text) === false ? null : text;
}

/** The query part of an address, with its "?"; empty when everything is as by default. */
export function writeUrl(state: UrlState): string {
  const query = new URLSearchParams();
  if (state.page !== kDefaults.page) query.set('page', state.page);
  for (const key of keysOf[state.page]) {
    const value = state[key];
    if (value === kDefaults[key]) continue;
    if ((key === 'from' || key === 'to') && state.range !== 'custom') continue;
    query.set(key, typeof value === 'boolean' ? (value ? '1' : '0') : String(value));
  }
  // Readable in an address bar: these characters need no escape in a query.
  const text = query.toString().replace(/%3A/g, ':').replace(/%2C/g, ',');
  return text ? `?${text}` : '';
}

/** The same state on another page, where paging and sorting of the old one mean nothing. */
export function onPage(state: UrlState, change: Partial<UrlState>): UrlState {
  const next = { ...state, ...change };
  if (next.page !== state.page || next.view !== state.view) {
    if (change.offset === undefined) next.offset = kDefaults.offset;
    if (change.order === undefined) next.order = kDefaults.order;
    if (change.as === undefined) next.as = kDefaults.as;
    if (change.limit === undefined) next.limit = kDefaults.limit;
  }
  return next;
}
