// The stream of changes, newest first, as long as somebody watches.

import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ApiError, listen, reconnects } from '../lib/client';
import { cell, clock, parseTime } from '../lib/format';
import type { Cell, Change } from '../lib/types';
import { ErrorBox } from '../ui/parts';

const kShown = 100;
const kPaintMs = 250;
const kRetryMs = 2_000;

interface Seen extends Change {
  number: number;
}

const full: Readonly<Record<string, string>> = { i: 'insert', u: 'update', d: 'delete', t: 'truncate', r: 'read', c: 'insert' };
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
    const { error } = JSON.parse(text) as { error: { code?: string; message?: string; hint?: string } };
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

export function ChangesTail(props: { table: string; op: string }): JSX.Element {
  const [seen, setSeen] = useState<readonly Seen[]>([]);
  const [error, setError] = useState<ApiError | null>(null);
  const [turn, setTurn] = useState(0);
  const back = reconnects.value;
  useEffect(() => {
    const stop = new AbortController();
    let waiting: Seen[] = [];
    let number = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    setError(null);
    const paint = setInterval(() => {
      if (waiting.length === 0) return;
      const fresh = waiting.reverse();
      waiting = [];
      setSeen((old) => [...fresh, ...old].slice(0, kShown));
    }, kPaintMs);
    const query = new URLSearchParams();
    if (props.table) query.set('table', props.table);
    if (props.op) query.set('op', props.op);
    listen(`/api/v1/tail?${query}`, stop.signal, (events) => {
      for (const event of events) {
        if (event.event === 'dropped' || event.event === 'error') throw streamError(event.data);
        const change = event.event === 'message' ? parse(event.data) : null;
        if (!change) continue;
        waiting.push({ ...change, number: (number += 1) + turn * 1e9 });
        if (waiting.length > kShown) waiting.shift();
      }
    }).then(
      () => (timer = setTimeout(() => setTurn((old) => old + 1), kRetryMs)),
      (problem: unknown) => {
        if (stop.signal.aborted) return;
        if (problem instanceof ApiError) setError(problem);
        else timer = setTimeout(() => setTurn((old) => old + 1), kRetryMs);
      },
    );
    return () => {
      stop.abort();
      clearInterval(paint);
      clearTimeout(timer);
    };
  }, [props.table, props.op, turn, back]);
  useEffect(() => setSeen([]), [props.table, props.op]);

  if (error) return <ErrorBox error={error} retry={() => setTurn((old) => old + 1)} />;
  if (seen.length === 0) return <p class="muted">Waiting for the next change.</p>;
  return (
    <div class="table-scroll tail" role="region" aria-label="Changes as they come" tabIndex={0}>
      <table class="data">
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Change</th>
            <th scope="col">Table</th>
            <th scope="col">Row</th>
            <th scope="col">Position</th>
          </tr>
        </thead>
        <tbody>
          {seen.map((change) => (
            <tr key={change.number}>
              <td>{change.time ? clock(parseTime(change.time) ?? 0) : ''}</td>
              <td>
                <span class="swatch" style={{ background: `var(--op-${opOf(change)})` }} aria-hidden="true" /> {opOf(change)}
              </td>
              <td>{change.table}</td>
              <td class="row-values">
                <Row change={change} />
              </td>
              <td class="lsn">{change.lsn}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
