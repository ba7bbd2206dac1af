// What the HTTP API answers (docs/http_api.md), as far as the page reads it. A field that an older
// or newer server may leave out is optional here, and the page then shows a dash, not a guess.

/** Integers beyond 2^53, numerics and LSNs come as text. */
export type Count = number | string | null | undefined;
export type Cell = string | number | boolean | null | readonly unknown[] | object;

export interface Column {
  name: string;
  type: string;
}

export interface Snapshot {
  state: 'done' | 'running' | 'none';
  rows?: Count;
  tables_done?: number;
  tables_total?: number;
  bytes?: Count;
  estimated_rows?: Count | null;
  rows_per_second?: number;
  seconds_left?: number | null;
}

/** A table that is read beside the stream: one that came later, or was asked for again. */
export interface TableRead {
  table: string;
  state: 'reading' | 'waiting' | (string & {});
  rows?: Count;
  bytes?: Count;
  estimated_rows?: Count | null;
  percent?: number;
  rows_per_second?: number;
  seconds_left?: number | null;
  /** What it waits for, or why it began again; "" while it goes on. */
  message?: string | null;
}

export interface Source {
  name: string;
  database?: string;
  host?: string;
  server_version?: string;
  slot?: string;
  publication?: string;
  slot_active?: boolean;
  retained_wal_bytes?: Count;
  wal_status?: string | null;
  safe_wal_bytes?: Count | null;
  wal_limit_bytes?: Count | null;
  retained_growth_bytes_per_second?: number | null;
  slot_seconds_left?: number | null;
  slot_invalidation_reason?: string | null;
  slot_failover?: boolean | null;
  /** What is alarming about the slot, in words; a finding says the same with what to do. */
  slot_alarm?: string | null;
  received_lsn?: string | null;
  confirmed_lsn?: string | null;
  server_lsn?: string | null;
  last_commit_time?: string | null;
  tables?: number;
  snapshot?: Snapshot;
  reads?: TableRead[];
}

export interface LogState {
  bytes?: Count;
  segments?: number;
  oldest_time?: string | null;
  first_lsn?: string | null;
  last_lsn?: string | null;
  free_disk_bytes?: Count;
}

export interface Follower {
  name: string;
  kind: string;
  state: 'following' | 'catching_up' | 'stopped' | 'failed' | 'lost' | (string & {});
  position?: string | null;
  lag_bytes?: Count;
  lag_ms?: Count;
  error?: string | null;
}

export type PipelineState =
  | 'streaming'
  | 'starting'
  | 'snapshotting'
  | 'waiting_for_disk'
  | 'reconnecting'
  | 'stopped'
  | 'failed';

export interface Finding {
  severity: string;
  subject?: string | null;
  message: string;
  hint?: string | null;
}

export interface Status {
  state: PipelineState | (string & {});
  message?: string | null;
  time: string;
  version?: string;
  source: Source;
  log?: LogState;
  followers?: Follower[];
  rates?: { changes_per_second?: number; bytes_per_second?: number };
  findings?: Finding[];
}

export type Op = 'insert' | 'update' | 'delete' | 'truncate' | 'read';
export type Bucket = 'minute' | 'hour' | 'day';

export interface ActivityBucket {
  time: string;
  table: string;
  op: string;
  changes: number;
  bytes: number;
  transactions: number;
}

export interface Activity {
  bucket: Bucket;
  from: string;
  to: string;
  buckets: ActivityBucket[];
  position?: string | null;
}

export interface View {
  name: string;
  sql: string;
  strategy: string;
  reason?: string | null;
  mode?: string;
  columns: Column[];
  rows?: Count;
  state: string;
  error?: string | null;
  position?: string | null;
}

export interface Rows {
  columns: Column[];
  rows: Cell[][];
  position?: string | null;
  time?: string | null;
  total?: Count;
}

export interface TableColumn extends Column {
  key?: boolean;
}

export interface Table {
  schema: string;
  name: string;
  columns: TableColumn[];
  mirrored?: boolean;
  rows?: Count;
  bytes?: Count;
  inserts?: Count;
  updates?: Count;
  deletes?: Count;
  truncates?: Count;
  reads?: Count;
  last_change?: string | null;
  /** Why the mirror of this table alone has stopped. */
  error?: string | null;
}

export interface SqlResult {
  columns: Column[];
  rows: Cell[][];
  position?: string | null;
  elapsed_ms?: number;
  truncated?: boolean;
}

export interface Change {
  op: string;
  table: string;
  lsn: string;
  time?: string | null;
  before?: Record<string, unknown> | null;
  after?: Record<string, unknown> | null;
}
