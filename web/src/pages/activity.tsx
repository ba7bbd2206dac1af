// What changed, when, where and how much: by table and operation, over a range of time.

import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { go, url } from '../lib/app_state';
import { customRange, kBucketMs, kOps, presetRange, stackBuckets, tableTotals } from '../lib/buckets';
import type { Preset, Range, Stack, TableTotals } from '../lib/buckets';
import { bytes, clock, compact, count, day, parseTime, plural, toLocalInput, zone } from '../lib/format';
import { usePoll } from '../lib/poll';
import { serverNow } from '../lib/status_feed';
import type { Activity, ActivityBucket, Table } from '../lib/types';
import { Chart, Legend } from '../ui/chart';
import type { ChartSeries } from '../ui/chart';
import { Choice, CopyButton, Empty, Loaded, Notice, Select, Toggle } from '../ui/parts';
import { ChangesTail } from './changes_tail';

const kRefreshMs = 2_000;
const ranges = [
  ['15m', '15 min'],
  ['1h', '1 h'],
  ['24h', '24 h'],
  ['7d', '7 days'],
  ['custom', 'From – to'],
] as const;
const opWords: Readonly<Record<string, string>> = {
  insert: 'Inserts',
  update: 'Updates',
  delete: 'Deletes',
  truncate: 'Truncates',
  read: 'Snapshot reads',
};
const kTableColors = 8;

/** The range moves on with the clock, one bucket at a time, so that a request is not new each second. */
function useRange(): Range | { problem: string } {
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

function TimeInput(props: { label: string; value: string; set: (iso: string) => void }): JSX.Element {
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

function Filters(props: { range: Range | { problem: string }; tables: readonly string[] }): JSX.Element {
  const state = url.value;
  const tables = state.table && !props.tables.includes(state.table) ? [state.table, ...props.tables] : props.tables;
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

export function toSeries(stack: Stack, by: 'op' | 'table'): ChartSeries[] {
  return stack.series.map((one, index) => ({
    key: one.key,
    label: by === 'op' ? (opWords[one.key] ?? one.key) : one.key,
    color: by === 'op' ? `--op-${one.key}` : `--series-${(index % kTableColors) + 1}`,
    values: one.values,
  }));
}

const rangeWords = (range: Range): string =>
  `${day(range.from)} ${clock(range.from).slice(0, 5)} to ${day(range.to)} ${clock(range.to).slice(0, 5)}`;

function Numbers(props: { times: readonly number[]; series: readonly ChartSeries[]; format: (n: number) => string }): JSX.Element {
  const filled = props.times.map((_, index) => index).filter((index) => props.series.some((one) => one.values[index]));
  return (
    <details class="numbers">
      <summary>The numbers behind the chart</summary>
      <div class="table-scroll" role="region" aria-label="The numbers behind the chart" tabIndex={0}>
        <table class="data">
          <thead>
            <tr>
              <th scope="col">From</th>
              {props.series.map((one) => (
                <th key={one.key} scope="col" class="number">
                  {one.label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {filled.reverse().map((index) => (
              <tr key={props.times[index]}>
                <th scope="row">
                  {day(props.times[index] ?? 0)} {clock(props.times[index] ?? 0).slice(0, 5)}
                </th>
                {props.series.map((one) => (
                  <td key={one.key} class="number">
                    {props.format(one.values[index] ?? 0)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

function Changes(props: { activity: Activity; range: Range }): JSX.Element {
  const { by, measure, table, op } = url.value;
  const { activity, range } = props;
  const stack = useMemo(() => stackBuckets(activity.buckets, range, by, measure), [activity, range, by, measure]);
  const series = useMemo(() => toSeries(stack, by), [stack, by]);
  const total = stack.series.reduce((sum, one) => sum + one.total, 0);
  const format = measure === 'bytes' ? bytes : count;
  const said = measure === 'bytes' ? bytes(total) : plural(total, 'change');
  const filtered = table || op;
  return (
    <section class="card" aria-labelledby="chart-title">
      <div class="card-head">
        <h2 id="chart-title">
          <span data-testid="activity-total" data-value={total}>
            {said}
          </span>{' '}
          <span class="muted">
            {rangeWords(range)}, a bar for each {range.bucket}
          </span>
        </h2>
        <Choice
          legend="Stacked by"
          name="by"
          value={by}
          options={[['op', 'By operation'], ['table', 'By table']]}
          choose={(next) => go({ by: next })}
        />
        <Choice
          legend="Measure"
          name="measure"
          value={measure}
          options={[['changes', 'Changes'], ['bytes', 'Bytes']]}
          choose={(next) => go({ measure: next })}
        />
      </div>
      {total === 0 ? (
        <Empty title={filtered ? 'No such changes in this range.' : 'No changes yet in this range.'}>
          <p class="prose">
            {filtered
              ? 'Other tables or operations may have some: take the filters away to see them.'
              : 'As soon as a captured table is written to, its changes appear here. Snapshot reads count as reads.'}
          </p>
          {filtered && (
            <button type="button" class="button" onClick={() => go({ table: '', op: '' })}>
              Show all tables and operations
            </button>
          )}
        </Empty>
      ) : (
        <>
          <Legend series={series} total={(one) => format(one.values.reduce<number>((sum, value) => sum + (value ?? 0), 0))} />
          <Chart
            label={`${said} by ${by === 'op' ? 'operation' : 'table'}, ${rangeWords(range)}.`}
            kind="stack"
            times={stack.times}
            step={kBucketMs[range.bucket]}
            series={series}
            format={format}
            axis={measure === 'bytes' ? bytes : compact}
            now={serverNow()}
            unit={measure === 'bytes' ? 'bytes' : 'count'}
          />
          <Numbers times={stack.times} series={series} format={format} />
        </>
      )}
      <p class="as-of">
        {activity.position ? `True at position ${activity.position}. ` : ''}
        {range.bucket === 'day' ? 'Days begin at midnight UTC; times are in ' : 'Times are in '}
        {zone(range.to)}.
      </p>
    </section>
  );
}

function TotalsRow(props: { totals: TableTotals; all: number; link: boolean }): JSX.Element {
  const { totals } = props;
  const share = props.all > 0 ? (totals.changes / props.all) * 100 : 0;
  return (
    <tr>
      <th scope="row">
        {props.link ? (
          <button
            type="button"
            class="link"
            onClick={() => go({ table: url.value.table === totals.table ? '' : totals.table })}
          >
            {totals.table}
          </button>
        ) : (
          totals.table
        )}
      </th>
      {kOps.map((op) => (
        <td key={op} class={`number${totals[op] ? '' : ' zero'}`}>
          {count(totals[op])}
        </td>
      ))}
      <td class="number strong">{count(totals.changes)}</td>
      <td class="number">{bytes(totals.bytes)}</td>
      <td class="share">
        <span class="share-bar" aria-hidden="true">
          <span style={{ width: `${share}%` }} />
        </span>
        {share >= 99.95 || share === 0 ? share.toFixed(0) : share.toFixed(1)} %
      </td>
    </tr>
  );
}

function Totals(props: { rows: readonly ActivityBucket[] }): JSX.Element | null {
  const { table, op } = url.value;
  const { tables, sum } = useMemo(() => tableTotals(props.rows, { table, op }), [props.rows, table, op]);
  if (tables.length === 0) return null;
  const csv = (): string =>
    [
      ['table', ...kOps, 'changes', 'bytes'].join(','),
      ...tables.map((one) => [one.table, ...kOps.map((name) => one[name]), one.changes, one.bytes].join(',')),
    ].join('\r\n');
  return (
    <section class="card" aria-labelledby="totals-title">
      <div class="card-head">
        <h2 id="totals-title">Totals by table</h2>
        <CopyButton text={csv} label="Copy as CSV" />
      </div>
      <div class="table-scroll" role="region" aria-label="Totals by table" tabIndex={0}>
        <table class="data totals">
          <thead>
            <tr>
              <th scope="col">Table</th>
              {kOps.map((name) => (
                <th key={name} scope="col" class="number">
                  {name === 'read' ? 'Reads' : opWords[name]}
                </th>
              ))}
              <th scope="col" class="number">
                Changes
              </th>
              <th scope="col" class="number">
                Size
              </th>
              <th scope="col" class="share">
                Share
              </th>
            </tr>
          </thead>
          <tbody>
            {tables.map((one) => (
              <TotalsRow key={one.table} totals={one} all={sum.changes} link />
            ))}
          </tbody>
          {tables.length > 1 && (
            <tfoot>
              <TotalsRow totals={sum} all={sum.changes} link={false} />
            </tfoot>
          )}
        </table>
      </div>
    </section>
  );
}

function Body(props: { range: Range }): JSX.Element {
  const { range } = props;
  const { table, op, live, tail } = url.value;
  const query = new URLSearchParams({
    from: new Date(range.from).toISOString(),
    to: new Date(range.to).toISOString(),
  });
  query.set('bucket', range.bucket);
  if (table) query.set('table', table);
  if (op) query.set('op', op);
  const every = live && range.to > serverNow() - kBucketMs[range.bucket] ? kRefreshMs : null;
  const subject = `${range.bucket} ${table} ${op} ${url.value.range}`;
  const activity = usePoll<Activity>(subject, `/api/v1/activity?${query}`, every);
  return (
    <>
      <Loaded from={activity} label="Counting changes" lines={8}>
        {(data) => (
          <>
            <Changes activity={data} range={range} />
            {/* Out of the same answer, so that both are true at the same position. */}
            <Totals rows={data.buckets} />
          </>
        )}
      </Loaded>
      <section class="card" aria-labelledby="tail-title">
        <div class="card-head">
          <h2 id="tail-title">Changes as they come</h2>
          <Toggle on={tail} set={(on) => go({ tail: on }, 'replace')}>
            Watch
          </Toggle>
        </div>
        {tail ? <ChangesTail table={table} op={op} /> : <p class="muted">Switch on to see each change with its old and new row.</p>}
      </section>
    </>
  );
}

export function ActivityPage(): JSX.Element {
  const range = useRange();
  const tables = usePoll<{ tables: Table[] }>('tables', '/api/v1/tables', 30_000);
  const names = (tables.data?.tables ?? []).map((one) => `${one.schema}.${one.name}`);
  return (
    <>
      <h1>Activity</h1>
      <Filters range={range} tables={names} />
      {'problem' in range ? <Notice tone="warn" title={range.problem} /> : <Body range={range} />}
    </>
  );
}
