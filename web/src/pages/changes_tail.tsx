// The stream of changes, newest first, as long as somebody watches.

import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, listen, reconnects } from '../lib/client';
import type { ServerEvent } from '../lib/event_stream';
import { cell, clock, parseTime, plural } from '../lib/format';
import type { Cell, Change } from '../lib/types';
import { ErrorBox } from '../ui/parts';

const kShown = 100;
const kPaintMs = 250;
const kRetryMs = 2_000;

interface Seen extends Change {
  number: number;
}

const full: Readonly<Record<string, string>> = {
  i: 'insert',
  u: 'update',
  d: 'delete',
  t: 'truncate',
  r: 'read',
  m: 'message',
  c: 'insert',
};
const opOf = (change: Change): string => full[change.op] ?? change.op;

function parse(text: string): Change | null {
  try {
    const value = JSON.parse(text) as Change;
    return typeof value.op === 'string' && typeof value.table === 'string' ? value : null;
  } catch {
    return null;
  }
}

/** The stream's own last word: its reader was too slow, or its source failed. */
function streamError(text: string): ApiError {
  try {
    const { error } = JSON.parse(text) as {
      error: { code?: string; message?: string; hint?: string };
    };
    return new ApiError(error.code ?? 'error', error.message ?? text, error.hint ?? '', 0);
  } catch {
    return new ApiError('error', text, '', 0);
  }
}

/** What a change says in one line: the new row, and for an update the old value of what differs. */
function Row(props: { change: Change }): JSX.Element {
  const { before, after } = props.change;
  const row = after ?? before ?? {};
  return (
    <>
      {Object.entries(row).map(([name, value]) => {
        const was = before && after && name in before ? cell(before[name] as Cell) : null;
        const is = cell(value as Cell);
        return (
          <span key={name} class="pair">
            <span class="muted">{name}</span>{' '}
            {was !== null && was !== is && (
              <>
                <del>{was}</del>{' '}
              </>
            )}
            {is}
          </span>
        );
      })}
    </>
  );
}

interface Tail {
  /** Newest first, the last kShown. */
  seen: readonly Seen[];
  /** All that came since the watching began. */
  total: number;
  error: ApiError | null;
  retry: () => void;
}

/** Follows the stream; when it breaks off it goes on behind the last change that came. */
function useTail(table: string, op: string): Tail {
  const [seen, setSeen] = useState<readonly Seen[]>([]);
  const [error, setError] = useState<ApiError | null>(null);
  const [turn, setTurn] = useState(0);
  const total = useRef(0);
  const last_id = useRef('');
  const back = reconnects.value;
  const again = (): void => setTurn((old) => old + 1);
  useEffect(() => {
    total.current = 0;
    last_id.current = '';
    setSeen([]);
  }, [table, op]);
  useEffect(() => {
    const stop = new AbortController();
    let waiting: Seen[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    setError(null);
    const paint = setInterval(() => {
      if (waiting.length === 0) return;
      const fresh = waiting.reverse();
      waiting = [];
      setSeen((old) => [...fresh, ...old].slice(0, kShown));
    }, kPaintMs);
    const take = (events: readonly ServerEvent[]): void => {
      for (const event of events) {
        if (event.event === 'dropped' || event.event === 'error') throw streamError(event.data);
        if (event.id) last_id.current = event.id;
        const change = event.event === 'message' ? parse(event.data) : null;
        if (!change) continue;
        waiting.push({ ...change, number: (total.current += 1) });
        if (waiting.length > kShown) waiting.shift();
      }
    };
    const ended = (problem: unknown): void => {
      if (stop.signal.aborted) return;
      stop.abort();
      if (problem instanceof ApiError) setError(problem);
      else timer = setTimeout(again, kRetryMs);
    };
    const query = new URLSearchParams();
    if (table) query.set('table', table);
    if (op) query.set('op', op);
    listen(`/api/v1/tail?${query}`, stop.signal, last_id.current, take).then(ended, ended);
    return () => {
      stop.abort();
      clearInterval(paint);
      clearTimeout(timer);
    };
  }, [table, op, turn, back]);
  return { seen, total: total.current, error, retry: again };
}

function Line(props: { change: Seen }): JSX.Element {
  const { change } = props;
  const op = opOf(change);
  return (
    <tr>
      <td>{change.time ? clock(parseTime(change.time) ?? 0) : ''}</td>
      <td>
        <span class="swatch" style={{ background: `var(--op-${op})` }} aria-hidden="true" /> {op}
      </td>
      <td>{change.table}</td>
      <td class="row-values">
        <Row change={change} />
      </td>
      <td class="lsn">{change.lsn}</td>
    </tr>
  );
}

export function ChangesTail(props: { table: string; op: string }): JSX.Element {
  const { seen, total, error, retry } = useTail(props.table, props.op);
  if (error) return <ErrorBox error={error} retry={retry} />;
  if (seen.length === 0) return <p class="muted">Waiting for the next change.</p>;
  return (
    <>
      <div class="table-scroll tail" role="region" aria-label="Changes as they come" tabIndex={0}>
        <table class="data">
          <thead>
            <tr>
              {['Time', 'Change', 'Table', 'Row', 'Position'].map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {seen.map((change) => (
              <Line key={change.number} change={change} />
            ))}
          </tbody>
        </table>
      </div>
      <p class="as-of">
        {plural(total, 'change')} since you began to watch
        {total > seen.length && `, the last ${seen.length} of them shown`}.
      </p>
    </>
  );
}
