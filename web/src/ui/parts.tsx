// The small pieces that every page is made of, and the states that every page must have.

import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { lostAt } from '../lib/client';
import type { ApiError } from '../lib/client';
import { count, plural, toNumber } from '../lib/format';
import type { Polled } from '../lib/poll';
import { status } from '../lib/status_feed';
import { sqlPieces } from '../lib/sql_text';
import type { Snapshot } from '../lib/types';
import { readingPace, type Tone } from '../lib/words';

export function Chip(props: {
  tone: Tone;
  children: ComponentChildren;
  title?: string;
}): JSX.Element {
  return (
    <span class={`chip tone-${props.tone}`} title={props.title}>
      <span class="dot" aria-hidden="true" />
      {props.children}
    </span>
  );
}

export function Facts(props: {
  rows: readonly (readonly [string, ComponentChildren])[];
}): JSX.Element {
  return (
    <dl class="facts">
      {props.rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Grey bars of the rough shape of what is about to come. */
export function Skeleton(props: { lines?: number; label: string }): JSX.Element {
  const lines = Array.from({ length: props.lines ?? 4 }, (_, index) => index);
  return (
    <div class="skeleton" role="status">
      <span class="hidden">{props.label}</span>
      {lines.map((line) => (
        <span key={line} class="bar" />
      ))}
    </div>
  );
}

export function Notice(props: {
  tone: Tone;
  title: string;
  children?: ComponentChildren;
  alert?: boolean;
}): JSX.Element {
  return (
    <div class={`notice tone-${props.tone}`} role={props.alert ? 'alert' : undefined}>
      <p class="notice-title">{props.title}</p>
      {props.children}
    </div>
  );
}

export function Empty(props: { title: string; children?: ComponentChildren }): JSX.Element {
  return (
    <div class="empty">
      <p class="empty-title">{props.title}</p>
      {props.children}
    </div>
  );
}

export function ErrorBox(props: {
  error: ApiError;
  retry?: (() => void) | undefined;
}): JSX.Element {
  const { error, retry } = props;
  return (
    <Notice tone="bad" title={error.message} alert>
      {error.hint && <p class="prose">{error.hint}</p>}
      {retry && (
        <p>
          <button type="button" class="button" onClick={retry}>
            Try again
          </button>
        </p>
      )}
    </Notice>
  );
}

export function SnapshotProgress(props: { snapshot: Snapshot; bar_only?: boolean }): JSX.Element {
  const { rows, estimated_rows, tables_done, tables_total } = props.snapshot;
  const expected = toNumber(estimated_rows);
  // Tables differ in size: what their rows tell is better, where the server has counted them.
  const by_rows = expected !== null && expected > 0;
  return (
    <div class="snapshot">
      {(by_rows || tables_total !== undefined) && (
        <progress
          aria-label={by_rows ? 'Rows read' : 'Tables read'}
          max={by_rows ? expected : Math.max(1, tables_total ?? 1)}
          value={by_rows ? Math.min(expected, toNumber(rows) ?? 0) : (tables_done ?? 0)}
        />
      )}
      {!props.bar_only && (
        <p class="muted">
          {tables_total !== undefined &&
            `${count(tables_done ?? 0)} of ${plural(tables_total, 'table')}: `}
          {readingPace(props.snapshot)}.
        </p>
      )}
    </div>
  );
}

function SnapshotBox(): JSX.Element {
  const snapshot = status.value?.source.snapshot;
  return (
    <Notice tone="busy" title="The tables are being read for the first time.">
      <p class="prose">
        This page fills by itself as soon as the first snapshot is complete: until then its numbers
        would be of half a table.
      </p>
      {snapshot && <SnapshotProgress snapshot={snapshot} />}
    </Notice>
  );
}

/** A skeleton, what went wrong, or the data (with a word above it when it could not be renewed). */
export function Loaded<T>(props: {
  from: Polled<T>;
  label: string;
  lines?: number;
  children: (data: T) => ComponentChildren;
}): JSX.Element {
  const { data, error, retry } = props.from;
  const lost = lostAt.value !== null;
  if (data !== null) {
    return (
      <>
        {error && !lost && error.code !== 'disconnected' && (
          <Notice tone="warn" title="This could not be renewed; it is as of the last answer." alert>
            <p class="prose">
              {error.message} {error.hint}
            </p>
          </Notice>
        )}
        {props.children(data)}
      </>
    );
  }
  if (lost) return <Empty title="Nothing to show until the server answers again." />;
  if (error?.code === 'snapshot_in_progress') return <SnapshotBox />;
  if (error && error.code !== 'disconnected') return <ErrorBox error={error} retry={retry} />;
  return <Skeleton label={props.label} lines={props.lines ?? 6} />;
}

/** A choice of a few: radio buttons, so that the arrow keys work. */
export function Choice<T extends string>(props: {
  legend: string;
  name: string;
  value: T;
  options: readonly (readonly [T, string])[];
  choose: (value: T) => void;
}): JSX.Element {
  return (
    <fieldset class="choice">
      <legend class="hidden">{props.legend}</legend>
      {props.options.map(([value, label]) => (
        <label key={value} class={value === props.value ? 'chosen' : undefined}>
          <input
            type="radio"
            name={props.name}
            value={value}
            checked={value === props.value}
            onChange={() => props.choose(value)}
          />
          {label}
        </label>
      ))}
    </fieldset>
  );
}

export function Select(props: {
  label: string;
  value: string;
  options: readonly (readonly [string, string])[];
  choose: (value: string) => void;
}): JSX.Element {
  return (
    <label class="field">
      <span>{props.label}</span>
      <select value={props.value} onChange={(event) => props.choose(event.currentTarget.value)}>
        {props.options.map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
}

export function Toggle(props: {
  on: boolean;
  set: (on: boolean) => void;
  children: ComponentChildren;
}): JSX.Element {
  return (
    <label class="toggle">
      <input
        type="checkbox"
        checked={props.on}
        onChange={(event) => props.set(event.currentTarget.checked)}
      />
      {props.children}
    </label>
  );
}

export function CopyButton(props: { text: () => string; label: string }): JSX.Element {
  const [said, setSaid] = useState('');
  useEffect(() => {
    if (!said) return;
    const timer = setTimeout(() => setSaid(''), 2000);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = (): void => {
    // Without TLS beyond this machine the browser offers no clipboard.
    const done = navigator.clipboard?.writeText(props.text()) ?? Promise.reject(new Error());
    done.then(
      () => setSaid('Copied'),
      () => setSaid('Not allowed'),
    );
  };
  return (
    <button type="button" class="button quiet" onClick={copy}>
      <span aria-live="polite">{said || props.label}</span>
    </button>
  );
}

export function SqlText(props: { sql: string; label: string }): JSX.Element {
  return (
    <pre class="sql" tabIndex={0} role="region" aria-label={props.label}>
      <code>
        {sqlPieces(props.sql.trim()).map((one, index) => (
          <span key={index} class={`sql-${one.kind}`}>
            {one.text}
          </span>
        ))}
      </code>
    </pre>
  );
}

/** A line without axes: only whether it rises or falls. The number stands beside it. */
export function Sparkline(props: { values: readonly number[]; length: number }): JSX.Element {
  const top = Math.max(1e-9, ...props.values);
  const start = props.length - props.values.length;
  const points = props.values.map((value, index) => {
    const x = ((start + index) / (props.length - 1)) * 100;
    const y = 23 - (value / top) * 21;
    return `${x.toFixed(2)},${y.toFixed(2)}`;
  });
  return (
    <svg class="sparkline" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">
      {points.length > 1 && (
        <polyline points={points.join(' ')} vector-effect="non-scaling-stroke" />
      )}
    </svg>
  );
}

/** A number that calls its component again each second: "12 s ago" must not stand still. */
export function useSeconds(): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
