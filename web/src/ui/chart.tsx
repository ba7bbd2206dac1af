// uPlot for this page: stacked bars or lines over time, in the theme's colours, with a reading of
// the bucket under the pointer or, with the arrow keys, of the one chosen.

import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { dark } from '../lib/app_state';
import { clock, compact, day } from '../lib/format';

export interface ChartSeries {
  key: string;
  label: string;
  /** The name of a CSS variable. */
  color: string;
  values: readonly (number | null)[];
}

export interface ChartProps {
  label: string;
  kind: 'stack' | 'lines';
  times: readonly number[];
  /** Milliseconds of one bucket; 0 for points in time. */
  step: number;
  series: readonly ChartSeries[];
  format: (value: number) => string;
  axis?: (value: number) => string;
  height?: number;
  /** Ticks at whole numbers, or at powers of two; without it anywhere that is round. */
  unit?: 'count' | 'bytes';
  /** Until when the numbers are complete; a later bucket still grows, and its reading says so. */
  now?: number;
}

const kAxisWidth = 58;

const powers = (base: number, count: number, steps: readonly number[]): number[] =>
  Array.from({ length: count }, (_, power) => steps.map((step) => step * base ** power)).flat();
const kTickSteps = {
  count: powers(10, 15, [1, 2, 5]),
  bytes: powers(1024, 6, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]),
};

function css(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Ticks in the reader's zone: the date where a day begins, otherwise hours and minutes. */
function timeTicks(plot: uPlot, splits: number[], _: number, __: number, step: number): string[] {
  const end = plot.scales['x']?.max ?? Infinity;
  return splits.map((seconds) => {
    if (seconds >= end) return ''; // it would be cut off at the edge
    const ms = seconds * 1000;
    const text = clock(ms);
    if (step >= 86_400 || text === '00:00:00') return day(ms).slice(5);
    return step < 60 ? text : text.slice(0, 5);
  });
}

/** What uPlot draws: for stacks the sums from the ground up, the tallest first, behind the others. */
function columns(props: ChartProps): uPlot.AlignedData {
  const seconds = props.times.map((ms) => ms / 1000);
  if (props.kind === 'lines') return [seconds, ...props.series.map((one) => [...one.values])];
  const sums: number[][] = [];
  let below = new Array<number>(seconds.length).fill(0);
  for (const one of props.series) {
    below = below.map((value, index) => value + (one.values[index] ?? 0));
    sums.push(below);
  }
  return [seconds, ...sums.reverse()];
}

function options(props: ChartProps, width: number, pointAt: (u: uPlot) => void): uPlot.Options {
  const stack = props.kind === 'stack';
  const drawn = stack ? [...props.series].reverse() : props.series;
  const grid = { stroke: css('--grid'), width: 1 };
  const axis = { stroke: css('--muted'), font: `12px ${css('--sans')}`, ticks: { show: false } };
  const bars = uPlot.paths.bars?.({ size: [0.82, 80], align: 1 });
  return {
    width,
    height: props.height ?? 260,
    padding: [10, 8, 0, 0],
    legend: { show: false },
    cursor: { x: false, y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: {
      x: { time: true },
      y: { range: (_u, low, high) => [stack ? 0 : Math.min(low, 0), high > 0 ? high * 1.06 : 1] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 28, space: 70, values: timeTicks },
      {
        ...axis,
        grid,
        size: kAxisWidth,
        space: 36,
        ...(props.unit ? { incrs: kTickSteps[props.unit] } : {}),
        values: (_u, splits) => splits.map((value) => (props.axis ?? compact)(value)),
      },
    ],
    series: [
      {},
      ...drawn.map((one): uPlot.Series => {
        const color = css(one.color);
        if (!stack) return { label: one.label, stroke: color, width: 2, points: { show: false } };
        return bars
          ? { label: one.label, fill: color, width: 0, paths: bars, points: { show: false } }
          : { label: one.label, fill: color, stroke: color, points: { show: false } };
      }),
    ],
    hooks: { setCursor: [pointAt] },
  };
}

/** Where a bucket lies, as shares of the width of the plot. */
function place(chart: ChartProps, index: number): { left: number; width: number } {
  const { times, step } = chart;
  const first = times[0] ?? 0;
  const span = Math.max(1, (times[times.length - 1] ?? first) + step - first);
  return { left: ((times[index] ?? first) - first) / span, width: step / span };
}

function Reading(props: { chart: ChartProps; index: number }): JSX.Element {
  const { chart, index } = props;
  const { left, width } = place(chart, index);
  const at = chart.times[index] ?? 0;
  const end = chart.step ? ` – ${clock(at + chart.step).slice(0, 5)}` : '';
  const when =
    chart.step >= 86_400_000
      ? day(at)
      : `${day(at)} ${clock(at).slice(0, chart.step ? 5 : 8)}${end}`;
  const shown = chart.series.filter((one) => one.values[index]);
  const total = shown.reduce((sum, one) => sum + (one.values[index] ?? 0), 0);
  return (
    <div
      class={`reading${left > 0.6 ? ' to-left' : ''}`}
      style={{ left: `${(left > 0.6 ? left : left + width) * 100}%` }}
    >
      <p class="reading-time">
        {when}
        {chart.step > 0 && chart.now !== undefined && at + chart.step > chart.now && ', so far'}
      </p>
      {shown.length === 0 && <p class="muted">Nothing changed</p>}
      {[...shown].reverse().map((one) => (
        <p key={one.key} class="reading-row">
          <span class="swatch" style={{ background: `var(${one.color})` }} />
          {one.label}
          <b>{chart.format(one.values[index] ?? 0)}</b>
        </p>
      ))}
      {chart.kind === 'stack' && shown.length > 1 && (
        <p class="reading-row reading-total">
          Together <b>{chart.format(total)}</b>
        </p>
      )}
    </div>
  );
}

function indexAt(chart: ChartProps, ms: number): number | null {
  const { times, step } = chart;
  const first = times[0];
  if (first === undefined) return null;
  if (step) {
    const index = Math.floor((ms - first) / step);
    return index >= 0 && index < times.length ? index : null;
  }
  let best = 0;
  times.forEach((time, index) => {
    if (Math.abs(time - ms) < Math.abs((times[best] ?? 0) - ms)) best = index;
  });
  return best;
}

/** Creates the plot when its shape changes, and otherwise only gives it new numbers. */
function usePlot(props: ChartProps, point: (index: number | null) => void) {
  const ground = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const drawn = props.series.map((one) => one.key + one.color);
  const shape = [props.kind, props.step, props.height, props.unit, dark.value, ...drawn].join();
  useEffect(() => {
    const element = ground.current;
    if (!element) return;
    const pointAt = (u: uPlot): void => {
      const left = u.cursor.left ?? -1;
      point(left < 0 ? null : indexAt(latest.current, u.posToVal(left, 'x') * 1000));
    };
    const width = (): number => Math.max(200, element.clientWidth);
    const made = new uPlot(
      options(latest.current, width(), pointAt),
      columns(latest.current),
      element,
    );
    plot.current = made;
    const resized = new ResizeObserver(() =>
      made.setSize({ width: width(), height: latest.current.height ?? 260 }),
    );
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => {
    const made = plot.current;
    const first = props.times[0];
    const last = props.times[props.times.length - 1];
    if (!made || first === undefined || last === undefined) return;
    made.batch(() => {
      made.setData(columns(props), false);
      made.setScale('x', { min: first / 1000, max: (last + props.step) / 1000 });
    });
  }, [shape, props.times, props.series]);
  return ground;
}

function Band(props: { at: { left: number; width: number } }): JSX.Element {
  const { left, width } = props.at;
  return (
    <div
      class="band"
      style={{ left: `${left * 100}%`, width: width ? `${width * 100}%` : '1px' }}
    />
  );
}

export function Chart(props: ChartProps): JSX.Element {
  const [pointed, setPointed] = useState<number | null>(null);
  const ground = usePlot(props, setPointed);
  const { times } = props;
  const index = pointed !== null && pointed < times.length ? pointed : null;
  const key = (event: KeyboardEvent): void => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === 'Escape') setPointed(null);
    if (move === undefined) return;
    event.preventDefault();
    const start = move < 0 ? times.length : -1;
    setPointed(Math.min(times.length - 1, Math.max(0, (index ?? start) + move)));
  };
  return (
    <div
      class="chart"
      role="group"
      aria-roledescription="chart"
      aria-label={`${props.label} The arrow keys read one bucket at a time.`}
      tabIndex={0}
      onKeyDown={key}
      onBlur={() => setPointed(null)}
    >
      <div ref={ground} />
      <div class="chart-over" aria-live="polite">
        {index !== null && <Band at={place(props, index)} />}
        {index !== null && <Reading chart={props} index={index} />}
      </div>
    </div>
  );
}

export function Legend(props: {
  series: readonly ChartSeries[];
  total: (series: ChartSeries) => string;
}): JSX.Element {
  return (
    <ul class="legend">
      {props.series.map((one) => (
        <li key={one.key}>
          <span class="swatch" style={{ background: `var(${one.color})` }} aria-hidden="true" />
          {one.label} <b>{props.total(one)}</b>
        </li>
      ))}
    </ul>
  );
}
