// A stand-in for the server: the built page and canned answers of its API, so that every state of
// the dashboard can be seen without a pipeline in that state. Numbers move, as real ones do.
//
//   node tests/web/stand_in.mjs [SCENARIO] [PORT]
//
// Scenarios: normal, empty, error, snapshot, reading, slow, trouble, disk, token.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = fileURLToPath(new URL('../../web/dist', import.meta.url));
const types = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};
const kMinute = 60_000;
const tableNames = ['public.accounts', 'public.transfers', 'public.entries'];
const opShare = { insert: 0.5, update: 0.4, delete: 0.1 };
const tableShare = { 'public.accounts': 0.25, 'public.transfers': 0.25, 'public.entries': 0.5 };
const started = Date.now() - 40 * 24 * 60 * kMinute;

/** A number in [0, 1) that is the same for the same text. */
function noise(text) {
  let hash = 2166136261;
  for (let at = 0; at < text.length; at += 1)
    hash = Math.imul(hash ^ text.charCodeAt(at), 16777619);
  return ((hash >>> 0) % 10_000) / 10_000;
}

const position = () =>
  `0/${(0x16b3748 + Math.floor((Date.now() - started) / 10) * 56).toString(16).toUpperCase().slice(-8)}`;
const iso = (ms) => new Date(ms).toISOString();

function changesIn(table, op, minute) {
  const wave =
    1 + 0.6 * Math.sin((minute / 60 / 24) * 2 * Math.PI) + 0.5 * noise(`${table}${op}${minute}`);
  const whole = Math.round(900 * wave * tableShare[table] * opShare[op]);
  const now = Date.now() / kMinute;
  return Math.floor(now) === minute ? Math.round(whole * (now % 1)) : whole;
}

function activity(query) {
  const step = { minute: 1, hour: 60, day: 1440 }[query.get('bucket') ?? 'minute'];
  const from = Date.parse(query.get('from')) / kMinute;
  const to = Math.min(Date.parse(query.get('to')) / kMinute, Date.now() / kMinute + 1);
  const buckets = [];
  for (const table of tableNames) {
    if (query.get('table') && query.get('table') !== table) continue;
    for (const op of Object.keys(opShare)) {
      if (query.get('op') && query.get('op') !== op) continue;
      for (let at = Math.floor(from / step) * step; at < to; at += step) {
        let changes = 0;
        for (let minute = at; minute < Math.min(at + step, to); minute += Math.max(1, step / 60)) {
          changes += changesIn(table, op, Math.floor(minute)) * Math.max(1, step / 60);
        }
        const time = iso(at * kMinute).replace('.000Z', 'Z');
        buckets.push({
          time,
          table,
          op,
          changes,
          bytes: changes * 118,
          transactions: Math.ceil(changes / 10),
        });
      }
    }
  }
  return {
    bucket: query.get('bucket'),
    from: query.get('from'),
    to: query.get('to'),
    buckets,
    position: position(),
  };
}

const int = (name) => ({ name, type: 'BIGINT' });
const decimal = (name) => ({ name, type: 'DECIMAL(18,2)' });
const views = () => [
  {
    name: 'balance',
    sql: 'SELECT account_id, sum(amount) AS balance, count(*) AS entries\nFROM entries\nGROUP BY account_id',
    strategy: 'delta',
    reason: 'One table, grouped, with sum and count.',
    mode: 'update',
    columns: [int('account_id'), decimal('balance'), int('entries')],
    rows: 400,
    state: 'live',
    error: null,
    position: position(),
  },
  {
    name: 'total',
    sql: '-- Money is neither made nor lost.\nSELECT sum(balance) AS total, count(*) AS accounts FROM balance',
    strategy: 'delta',
    reason: 'A view over the view balance, without groups.',
    mode: 'update',
    columns: [decimal('total'), int('accounts')],
    rows: 1,
    state: 'live',
    error: null,
    position: position(),
  },
  {
    name: 'per_minute',
    sql: "SELECT window_start, count(*) AS transfers, sum(amount) AS volume\nFROM tumble(transfers, created_at, INTERVAL '1' MINUTE)\nGROUP BY window_start",
    strategy: 'delta',
    reason: 'A tumbling window over one table.',
    mode: 'append',
    columns: [
      { name: 'window_start', type: 'TIMESTAMP WITH TIME ZONE' },
      int('transfers'),
      decimal('volume'),
    ],
    rows: 720,
    state: 'live',
    error: null,
    position: position(),
  },
  {
    name: 'richest',
    sql: 'SELECT account_id, balance FROM balance ORDER BY balance DESC LIMIT 10',
    strategy: 'recompute',
    reason: 'ORDER BY with LIMIT is not incremental yet.',
    mode: 'update',
    columns: [int('account_id'), decimal('balance')],
    rows: 10,
    state: 'building',
    error: null,
    position: null,
  },
  {
    name: 'wrong',
    sql: 'SELECT account, sum(amount) FROM entries GROUP BY 1',
    strategy: 'recompute',
    reason: null,
    mode: 'update',
    columns: [],
    rows: 0,
    state: 'failed',
    error:
      'views.wrong: line 1, column 8: column "account" does not exist; did you mean "account_id"?',
    position: null,
  },
];

function viewRows(name, query) {
  const view = views().find((one) => one.name === name);
  if (!view)
    return [
      404,
      {
        error: {
          code: 'not_found',
          message: `There is no view ${name}.`,
          hint: 'GET /api/v1/views lists them.',
        },
      },
    ];
  const tick = Math.floor(Date.now() / 1000);
  let rows = [];
  if (name === 'total') rows = [['0.00', 400]];
  if (name === 'richest')
    rows = Array.from({ length: 10 }, (_, id) => [id + 1, (9000 - id * 310.5).toFixed(2)]);
  if (name === 'balance') {
    rows = Array.from({ length: 400 }, (_, index) => {
      const turns = Math.floor((tick + index * 7) / 11);
      return [
        index + 1,
        ((noise(`b${index} ${turns}`) - 0.5) * 20_000).toFixed(2),
        turns % 100_000,
      ];
    });
  }
  if (name === 'per_minute') {
    const now = Math.floor(Date.now() / kMinute);
    rows = Array.from({ length: 720 }, (_, index) => {
      const transfers = changesIn('public.transfers', 'insert', now - index);
      return [
        iso((now - index) * kMinute).replace('.000Z', 'Z'),
        transfers,
        (transfers * 41.25).toFixed(2),
      ];
    });
  }
  const order = query.get('order');
  if (order) {
    const by = view.columns.findIndex((column) => column.name === order.replace(/^-/, ''));
    if (by < 0)
      return [
        400,
        {
          error: { code: 'bad_request', message: `View ${name} has no column ${order}.`, hint: '' },
        },
      ];
    const sign = order.startsWith('-') ? -1 : 1;
    const value = (cell) => (Number.isNaN(Number(cell)) ? cell : Number(cell));
    rows.sort(
      (a, b) => sign * (value(a[by]) < value(b[by]) ? -1 : value(a[by]) > value(b[by]) ? 1 : 0),
    );
  }
  const offset = Number(query.get('offset') ?? 0);
  const page = rows.slice(offset, offset + Number(query.get('limit') ?? 100));
  return [
    200,
    {
      columns: view.columns,
      rows: page,
      position: position(),
      time: iso(Date.now()),
      total: rows.length,
    },
  ];
}

const column = (name, type, key) => (key ? { name, type, key } : { name, type });
function tables() {
  const ago = (ms) => iso(Date.now() - ms);
  const counts = { mirrored: true, truncates: 0 };
  return [
    {
      ...counts,
      schema: 'public',
      name: 'accounts',
      columns: [
        column('id', 'bigint', true),
        column('owner', 'text'),
        column('opened_at', 'timestamp with time zone'),
      ],
      rows: 400,
      bytes: 65_536,
      inserts: 400,
      updates: 182_331,
      deletes: 0,
      reads: 400,
      last_change: ago(800),
    },
    {
      ...counts,
      schema: 'public',
      name: 'transfers',
      columns: [
        column('id', 'uuid', true),
        column('amount', 'numeric(12,2)'),
        column('created_at', 'timestamp with time zone'),
        column('note', 'text'),
      ],
      rows: 1_204_332,
      bytes: 88_604_672,
      inserts: 1_204_510,
      updates: 9_120,
      deletes: 178,
      reads: 0,
      last_change: ago(400),
    },
    {
      ...counts,
      schema: 'public',
      name: 'entries',
      columns: [
        column('transfer_id', 'uuid', true),
        column('account_id', 'bigint', true),
        column('amount', 'numeric(12,2)'),
      ],
      rows: 2_408_664,
      bytes: 142_606_336,
      inserts: 2_409_020,
      updates: 0,
      deletes: 356,
      reads: 0,
      last_change: ago(400),
    },
    {
      ...counts,
      mirrored: false,
      schema: 'public',
      name: 'audit_log',
      columns: [column('at', 'timestamp with time zone'), column('what', 'jsonb')],
      rows: null,
      bytes: null,
      inserts: 0,
      updates: 0,
      deletes: 0,
      reads: 0,
      last_change: null,
    },
  ];
}

const gib = 1024 ** 3;
function status(scenario) {
  const lsn = position();
  const wave = Math.sin(Date.now() / 9000);
  const now = {
    state: 'streaming',
    message: '',
    time: iso(Date.now()),
    version: '0.1.0',
    source: {
      name: 'bank',
      database: 'bank',
      host: '127.0.0.1:5432',
      server_version: '15.20',
      slot: 'pgweir',
      publication: 'pgweir',
      slot_active: true,
      retained_wal_bytes: 1_310_720,
      wal_status: 'reserved',
      received_lsn: lsn,
      confirmed_lsn: lsn,
      server_lsn: lsn,
      last_commit_time: iso(Date.now() - 300),
      tables: 4,
      snapshot: { state: 'done', rows: 400, tables_done: 4, tables_total: 4 },
    },
    log: {
      bytes: 431_226_880,
      segments: 7,
      oldest_time: iso(Date.now() - 5 * 3_600_000),
      first_lsn: '0/16B3748',
      last_lsn: lsn,
      free_disk_bytes: 81 * gib,
    },
    followers: [
      {
        name: 'engine',
        kind: 'engine',
        state: 'following',
        position: lsn,
        lag_bytes: 0,
        lag_ms: Math.round(6 + 3 * wave),
        error: null,
      },
      {
        name: 'lake',
        kind: 'parquet',
        state: 'following',
        position: lsn,
        lag_bytes: 18_432,
        lag_ms: Math.round(420 + 250 * wave),
        error: null,
      },
    ],
    rates: {
      changes_per_second: 1240 + 180 * wave + 60 * Math.random(),
      bytes_per_second: 151_000 + 20_000 * wave,
    },
  };
  if (scenario === 'empty') {
    now.source.last_commit_time = null;
    now.log = {
      bytes: 0,
      segments: 0,
      oldest_time: null,
      first_lsn: null,
      last_lsn: null,
      free_disk_bytes: 81 * gib,
    };
    now.followers = [];
    now.rates = { changes_per_second: 0, bytes_per_second: 0 };
  }
  if (scenario === 'reading') {
    now.source.reads = [
      {
        table: 'public.transfers',
        state: 'reading',
        rows: 250_000,
        bytes: 20_000_000,
        estimated_rows: 1_000_000,
        percent: 25.1,
        rows_per_second: 50_000,
        seconds_left: 15,
        message: 'waits for transactions that began before it: pid 4711, 12 s old',
      },
      {
        table: 'public.orders',
        state: 'waiting',
        rows: 0,
        bytes: 0,
        estimated_rows: null,
        percent: 0,
        rows_per_second: 0,
        seconds_left: null,
        message: '',
      },
    ];
  }
  if (scenario === 'snapshot') {
    now.state = 'snapshotting';
    now.source.snapshot = {
      state: 'running',
      rows: 1_204_332,
      tables_done: 1,
      tables_total: 4,
      bytes: 90_000_000,
      estimated_rows: 4_000_000,
      rows_per_second: 402_117.4,
      seconds_left: 7,
    };
    now.followers = now.followers.map((one) => ({
      ...one,
      state: 'catching_up',
      lag_bytes: 84_000_000,
      lag_ms: 9_300,
    }));
  }
  if (scenario === 'trouble') {
    now.source.retained_wal_bytes = 3.4 * gib;
    now.source.wal_status = 'unreserved';
    now.log.free_disk_bytes = 1.1 * gib;
    Object.assign(now.followers[0], {
      state: 'catching_up',
      lag_ms: 95_000,
      lag_bytes: 212_000_000,
      position: '0/2A10F00',
    });
    Object.assign(now.followers[1], {
      state: 'failed',
      lag_ms: 412_000,
      lag_bytes: 812_000_000,
      position: '0/1F00A28',
      error: 'cannot write lake/table=entries/date=2026-11-21: permission denied.',
    });
  }
  if (scenario === 'disk') {
    Object.assign(now, { state: 'waiting_for_disk', message: '' });
    now.log.free_disk_bytes = 12_288;
  }
  return now;
}

function sql(body) {
  if (/\bdrop\b|\bdelete\b|\binsert\b/i.test(body.sql)) {
    return [
      400,
      {
        error: {
          code: 'read_only',
          message: 'Only SELECT is allowed here.',
          hint: 'Change the data in PostgreSQL; it arrives here by itself.',
        },
      },
    ];
  }
  if (/nonsense/i.test(body.sql)) {
    return [
      400,
      {
        error: {
          code: 'sql_error',
          message: 'Catalog Error: Table with name nonsense does not exist!',
          hint: 'Did you mean "transfers"?',
        },
      },
    ];
  }
  const rows = Array.from({ length: 40 }, (_, id) => [
    id + 1,
    id % 7 ? `owner ${id + 1}` : null,
    (noise(`s${id}`) * 900).toFixed(2),
    id % 2 === 0,
  ]);
  const columns = [
    int('id'),
    { name: 'owner', type: 'VARCHAR' },
    decimal('amount'),
    { name: 'active', type: 'BOOLEAN' },
  ];
  return [200, { columns, rows, position: position(), elapsed_ms: 4.2, truncated: false }];
}

const snapshotError = {
  error: {
    code: 'snapshot_in_progress',
    message: 'The first snapshot is still running.',
    hint: 'Try again when it is done.',
  },
};
const serverError = {
  error: {
    code: 'internal',
    message: 'The engine did not answer within 5 s.',
    hint: 'Look at the messages of pgweir on stderr.',
  },
};

function answer(scenario, method, path, query, body) {
  if (path === '/api/v1/status')
    return scenario === 'error' ? [500, serverError] : [200, status(scenario)];
  if (scenario === 'error') return [500, serverError];
  if (scenario === 'snapshot') return [503, snapshotError];
  const empty = scenario === 'empty';
  if (path === '/api/v1/activity')
    return [200, empty ? { ...activity(query), buckets: [] } : activity(query)];
  if (path === '/api/v1/views') return [200, { views: empty ? [] : views() }];
  if (path === '/api/v1/tables') return [200, { tables: empty ? [] : tables() }];
  if (path === '/api/v1/sql' && method === 'POST') return sql(body);
  const rows = /^\/api\/v1\/views\/([^/]+)\/rows$/.exec(path);
  if (rows) return viewRows(decodeURIComponent(rows[1]), query);
  return [404, { error: { code: 'not_found', message: `There is no ${path}.`, hint: '' } }];
}

function tail(response) {
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  const timer = setInterval(() => {
    const id = Math.ceil(Math.random() * 400);
    const lsn = position();
    const after = { id, owner: `owner ${id}`, opened_at: iso(Date.now()) };
    const change = {
      op: 'update',
      table: 'public.accounts',
      lsn,
      time: iso(Date.now()),
      before: { ...after, owner: 'nobody' },
      after,
    };
    response.write(`id: ${lsn}\ndata: ${JSON.stringify(change)}\n\n`);
  }, 300);
  response.on('close', () => clearInterval(timer));
}

async function file(path, response) {
  const name = normalize(path === '/' ? '/index.html' : path);
  try {
    const content = await readFile(join(dist, name));
    response.writeHead(200, { 'Content-Type': types[extname(name)] ?? 'application/octet-stream' });
    response.end(content);
  } catch {
    response.writeHead(404).end('not found');
  }
}

async function read(request) {
  let text = '';
  for await (const piece of request) text += piece;
  return text ? JSON.parse(text) : {};
}

/** Serves until stop(); `scenario` may be set at any time. */
export async function startStandIn({ scenario = 'normal', port = 0 } = {}) {
  const state = { scenario, held: new Set(), requests: [] };
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://stand-in');
    if (!pathname.startsWith('/api/')) return file(pathname, response);
    state.requests.push(request.url);
    if (state.scenario === 'slow') return state.held.add(response);
    if (state.scenario === 'token' && request.headers.authorization !== 'Bearer secret') {
      response.writeHead(401, { 'Content-Type': 'application/json' });
      return response.end(
        JSON.stringify({
          error: { code: 'unauthorized', message: 'A token is needed.', hint: '' },
        }),
      );
    }
    if (pathname === '/api/v1/tail') return tail(response);
    const body = request.method === 'POST' ? await read(request) : {};
    const [code, value] = answer(state.scenario, request.method, pathname, searchParams, body);
    response.writeHead(code, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(value));
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const bound = server.address().port;
  return {
    url: `http://127.0.0.1:${bound}`,
    port: bound,
    requests: state.requests,
    set(next) {
      state.scenario = next;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await startStandIn({
    scenario: process.argv[2] ?? 'normal',
    port: Number(process.argv[3] ?? 0),
  });
  console.log(url);
}
