// The rows of one view, as a table that lives or as charts, and the position they are true at.

import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { go, url } from '../lib/app_state';
import {
  cell,
  compact,
  count,
  isNumericType,
  isTimeType,
  parseTime,
  plural,
  toNumber,
} from '../lib/format';
import { usePoll } from '../lib/poll';
import type { Column, Rows, View } from '../lib/types';
import { trueAt } from '../lib/words';
import { Chart, Legend } from '../ui/chart';
import type { ChartSeries } from '../ui/chart';
import { DataTable } from '../ui/data_table';
import { Choice, Empty, Loaded, Toggle } from '../ui/parts';

const kRowsMs = 1_000;
const kChartPoints = 500;
const kMaxLines = 6;
const pageSizes = ['50', '100', '500'] as const;

/** A view with a time and a few numbers can be drawn: its time column and its number columns. */
function chartColumns(columns: readonly Column[]): { time: number; numbers: number[] } | null {
  const time = columns.findIndex((column) => isTimeType(column.type));
  const numbers = columns.flatMap((column, index) => (isNumericType(column.type) ? [index] : []));
  const others = columns.length - numbers.length - 1;
  return time < 0 || others > 0 || numbers.length === 0 || numbers.length > kMaxLines
    ? null
    : { time, numbers };
}

function ViewChart(props: { data: Rows; name: string }): JSX.Element {
  const { data } = props;
  const drawn = useMemo(() => {
    const found = chartColumns(data.columns);
    if (!found) return null;
    const points = data.rows
      .map((row) => ({ at: parseTime(String(row[found.time])), row }))
      .filter((point): point is { at: number; row: Rows['rows'][number] } => point.at !== null)
      .sort((a, b) => a.at - b.at);
    const series = found.numbers.map((column, index): ChartSeries => ({
      key: data.columns[column]?.name ?? '',
      label: data.columns[column]?.name ?? '',
      color: `--series-${index + 1}`,
      values: points.map(({ row }) => toNumber(row[column] as string | number | null)),
    }));
    return { times: points.map(({ at }) => at), series };
  }, [data]);
  if (!drawn || drawn.times.length < 2)
    return <Empty title="A chart needs at least two rows with a time." />;
  const format = (value: number): string =>
    value.toLocaleString('en-US', { maximumFractionDigits: 6 });
  // One chart for each number: they seldom share a scale.
  return (
    <>
      {drawn.series.map((one) => (
        <div key={one.key}>
          <Legend
            series={[one]}
            total={() => `latest ${format(one.values[one.values.length - 1] ?? 0)}`}
          />
          <Chart
            label={`${one.label} of ${props.name} over time, ${plural(drawn.times.length, 'row')}.`}
            kind="lines"
            times={drawn.times}
            step={0}
            series={[one]}
            format={format}
            axis={compact}
            height={drawn.series.length > 1 ? 180 : 320}
          />
        </div>
      ))}
    </>
  );
}

function Pager(props: { total: number | null; shown: number }): JSX.Element | null {
  const { offset, limit } = url.value;
  const { total, shown } = props;
  const more = total === null ? shown === limit : offset + shown < total;
  if (offset === 0 && !more && limit === 50) return null;
  const to = (next: number): void => go({ offset: Math.max(0, next) }, 'replace');
  return (
    <div class="pager">
      <button type="button" class="button" disabled={offset === 0} onClick={() => to(0)}>
        First
      </button>
      <button
        type="button"
        class="button"
        disabled={offset === 0}
        onClick={() => to(offset - limit)}
      >
        Previous
      </button>
      <span>
        {shown === 0 ? 'none' : `${count(offset + 1)} – ${count(offset + shown)}`}
        {total !== null && ` of ${count(total)}`}
      </span>
      <button type="button" class="button" disabled={!more} onClick={() => to(offset + limit)}>
        Next
      </button>
      <label class="field">
        <span>Rows a page</span>
        <select
          value={String(limit)}
          onChange={(event) =>
            go({ limit: Number(event.currentTarget.value), offset: 0 }, 'replace')
          }
        >
          {[...new Set([...pageSizes, String(limit)])].map((size) => (
            <option key={size} value={size}>
              {size}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}

/** A view of one row, like a check that must read 0, is shown large. */
function Figures(props: { columns: Rows['columns']; row: Rows['rows'][number] }): JSX.Element {
  return (
    <dl class="figures">
      {props.columns.map((column, index) => {
        const text = cell(props.row[index]);
        return (
          <div key={column.name}>
            <dt>
              {column.name} <span class="column-type">{column.type.toLowerCase()}</span>
            </dt>
            {/* A new key for a new value: the flash starts again. */}
            <dd key={text} class="flash">
              {text}
            </dd>
          </div>
        );
      })}
    </dl>
  );
}

const isFigures = (data: Rows): boolean =>
  toNumber(data.total) === 1 && data.rows.length === 1 && data.columns.length <= 4;

function Page(props: { name: string; data: Rows }): JSX.Element {
  const { name, data } = props;
  const { order, offset, limit } = url.value;
  const row = data.rows[0];
  if (row && isFigures(data)) return <Figures columns={data.columns} row={row} />;
  if (data.rows.length === 0 && offset === 0) {
    return (
      <Empty title="No rows.">
        <p class="prose">At this position the SQL of the view has an empty result.</p>
      </Empty>
    );
  }
  return (
    <DataTable
      label={`Rows of ${name}`}
      subject={`${name} ${order} ${offset} ${limit}`}
      columns={data.columns}
      rows={data.rows}
      flash
      order={order}
      sort={(next) => go({ order: next, offset: 0 }, 'replace')}
    />
  );
}

export function LiveRows(props: { view: View }): JSX.Element {
  const { view } = props;
  const { order, offset, limit, live } = url.value;
  const drawable = chartColumns(view.columns);
  const as = drawable ? url.value.as : 'table';
  const timeColumn = drawable ? (view.columns[drawable.time]?.name ?? '') : '';
  const query = new URLSearchParams(
    as === 'chart'
      ? { limit: String(kChartPoints), order: `-${timeColumn}` }
      : { limit: String(limit), offset: String(offset), ...(order ? { order } : {}) },
  );
  const path = `/api/v1/views/${encodeURIComponent(view.name)}/rows?${query}`;
  const rows = usePoll<Rows>(`${view.name} ${as}`, path, live ? kRowsMs : null);
  return (
    <section class="card" aria-labelledby="rows-title">
      <div class="card-head">
        <h3 id="rows-title">{rows.data ? plural(rows.data.total ?? view.rows, 'row') : 'Rows'}</h3>
        <p class="as-of" data-testid="view-position">
          {rows.data ? trueAt(rows.data.position, rows.data.time) : ''}
        </p>
        {drawable && (
          <Choice
            legend="Shown as"
            name="as"
            value={as}
            options={[
              ['table', 'Table'],
              ['chart', 'Chart'],
            ]}
            choose={(next) => go({ as: next })}
          />
        )}
        <Toggle on={live} set={(on) => go({ live: on }, 'replace')}>
          Live
        </Toggle>
      </div>
      <Loaded from={rows} label="Reading rows" lines={8}>
        {(data) =>
          as === 'chart' ? (
            <ViewChart data={data} name={view.name} />
          ) : (
            <>
              <Page name={view.name} data={data} />
              <Pager total={toNumber(data.total)} shown={data.rows.length} />
            </>
          )
        }
      </Loaded>
    </section>
  );
}
