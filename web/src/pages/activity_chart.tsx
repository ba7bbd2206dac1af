// The changes of a range as stacked bars, and the numbers behind them.

import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { go, url } from '../lib/app_state';
import { kBucketMs, seriesTotal, stackBuckets } from '../lib/buckets';
import type { Range, Stack } from '../lib/buckets';
import { bytes, clock, compact, count, day, plural, zone } from '../lib/format';
import { serverNow } from '../lib/status_feed';
import type { Activity } from '../lib/types';
import { Chart, Legend } from '../ui/chart';
import type { ChartSeries } from '../ui/chart';
import { Choice, Empty } from '../ui/parts';

export const opWords: Readonly<Record<string, string>> = {
  insert: 'Inserts',
  update: 'Updates',
  delete: 'Deletes',
  truncate: 'Truncates',
  read: 'Snapshot reads',
  message: 'Messages',
};
const kTableColors = 8;

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

function Numbers(props: {
  times: readonly number[];
  series: readonly ChartSeries[];
  format: (n: number) => string;
}): JSX.Element {
  const filled = props.times
    .map((_, index) => index)
    .filter((index) => props.series.some((one) => one.values[index]));
  return (
    <details class="numbers">
      <summary>The numbers behind the chart</summary>
      <div
        class="table-scroll"
        role="region"
        aria-label="The numbers behind the chart"
        tabIndex={0}
      >
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

function NoChanges(): JSX.Element {
  const { table, op } = url.value;
  if (!table && !op) {
    return (
      <Empty title="No changes yet in this range.">
        <p class="prose">
          As soon as a captured table is written to, its changes appear here. Rows of a snapshot
          count as reads.
        </p>
      </Empty>
    );
  }
  return (
    <Empty title="No such changes in this range.">
      <p class="prose">
        Other tables or operations may have some: take the filters away to see them.
      </p>
      <button type="button" class="button" onClick={() => go({ table: '', op: '' })}>
        Show all tables and operations
      </button>
    </Empty>
  );
}

function Ways(): JSX.Element {
  const { by, measure } = url.value;
  return (
    <>
      <Choice
        legend="Stacked by"
        name="by"
        value={by}
        options={[
          ['op', 'By operation'],
          ['table', 'By table'],
        ]}
        choose={(next) => go({ by: next })}
      />
      <Choice
        legend="Measure"
        name="measure"
        value={measure}
        options={[
          ['changes', 'Changes'],
          ['bytes', 'Bytes'],
        ]}
        choose={(next) => go({ measure: next })}
      />
    </>
  );
}

function Bars(props: { stack: Stack; range: Range; said: string }): JSX.Element {
  const { stack, range, said } = props;
  const { by, measure } = url.value;
  const series = useMemo(() => toSeries(stack, by), [stack, by]);
  const format = measure === 'bytes' ? bytes : count;
  return (
    <>
      <Legend series={series} total={(one) => format(seriesTotal(one.values))} />
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
  );
}

export function Changes(props: { activity: Activity; range: Range }): JSX.Element {
  const { by, measure } = url.value;
  const { activity, range } = props;
  const stack = useMemo(
    () => stackBuckets(activity.buckets, range, by, measure),
    [activity, range, by, measure],
  );
  const total = stack.series.reduce((sum, one) => sum + one.total, 0);
  const said = measure === 'bytes' ? bytes(total) : plural(total, 'change');
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
        <Ways />
      </div>
      {total === 0 ? <NoChanges /> : <Bars stack={stack} range={range} said={said} />}
      <p class="as-of">
        {activity.position ? `True at position ${activity.position}. ` : ''}
        {range.bucket === 'day' ? 'Days begin at midnight UTC; times are in ' : 'Times are in '}
        {zone(range.to)}.
      </p>
    </section>
  );
}
