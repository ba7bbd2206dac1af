// Which time, which table, which operation.

import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { go, url } from '../lib/app_state';
import { customRange, kBucketMs, kOps, presetRange } from '../lib/buckets';
import type { Preset, Range } from '../lib/buckets';
import { parseTime, toLocalInput } from '../lib/format';
import { serverNow } from '../lib/status_feed';
import { Choice, Select, Toggle } from '../ui/parts';
import { opWords } from './activity_chart';

const ranges = [
  ['15m', '15 min'],
  ['1h', '1 h'],
  ['24h', '24 h'],
  ['7d', '7 days'],
  ['custom', 'From – to'],
] as const;

/** The range moves on with the clock, one bucket at a time, so that a request is not new each second. */
export function useRange(): Range | { problem: string } {
  const { range, from, to } = url.value;
  const [now, setNow] = useState(serverNow());
  useEffect(() => {
    const timer = setInterval(() => setNow(serverNow()), 1000);
    return () => clearInterval(timer);
  }, []);
  const minute = Math.floor(now / kBucketMs.minute);
  return useMemo(
    () => (range === 'custom' ? customRange(from, to) : presetRange(range as Preset, now)),
    [range, from, to, minute],
  );
}

function toCustom(shown: Range | { problem: string }): void {
  const now = serverNow();
  const start = 'problem' in shown ? now - kBucketMs.hour : shown.from;
  const end = 'problem' in shown ? now : shown.to;
  go({ range: 'custom', from: new Date(start).toISOString(), to: new Date(end).toISOString() });
}

function TimeInput(props: {
  label: string;
  value: string;
  set: (iso: string) => void;
}): JSX.Element {
  const ms = parseTime(props.value);
  return (
    <label class="field">
      <span>{props.label}</span>
      <input
        type="datetime-local"
        value={ms === null ? '' : toLocalInput(ms)}
        onChange={(event) => {
          const chosen = parseTime(event.currentTarget.value);
          if (chosen !== null) props.set(new Date(chosen).toISOString());
        }}
      />
    </label>
  );
}

export function Filters(props: {
  range: Range | { problem: string };
  tables: readonly string[];
}): JSX.Element {
  const state = url.value;
  const tables =
    state.table && !props.tables.includes(state.table)
      ? [state.table, ...props.tables]
      : props.tables;
  return (
    <div class="filters">
      <Choice
        legend="Range of time"
        name="range"
        value={state.range}
        options={ranges}
        choose={(range) => (range === 'custom' ? toCustom(props.range) : go({ range }))}
      />
      {state.range === 'custom' && (
        <>
          <TimeInput label="From" value={state.from} set={(from) => go({ from })} />
          <TimeInput label="To" value={state.to} set={(to) => go({ to })} />
        </>
      )}
      <Select
        label="Table"
        value={state.table}
        options={[['', 'All tables'], ...tables.map((name) => [name, name] as const)]}
        choose={(table) => go({ table })}
      />
      <Select
        label="Operation"
        value={state.op}
        options={[['', 'All operations'], ...kOps.map((op) => [op, opWords[op] ?? op] as const)]}
        choose={(op) => go({ op })}
      />
      <Toggle on={state.live} set={(live) => go({ live }, 'replace')}>
        Live
      </Toggle>
    </div>
  );
}
