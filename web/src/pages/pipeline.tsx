// Is it running, is it up to date, and if not, what to do.

import type { ComponentChildren, JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { follow, linkTo } from '../lib/app_state';
import { kBucketMs, presetRange, seriesTotal, stackBuckets } from '../lib/buckets';
import { lostAt } from '../lib/client';
import { bytes, count, duration, kUnknown, plural, rate, toNumber } from '../lib/format';
import { usePoll } from '../lib/poll';
import { refreshStatus, samples, serverNow, status, statusError, views } from '../lib/status_feed';
import type { Activity, Source, Status } from '../lib/types';
import { headline, problems, readingPace, slowest } from '../lib/words';
import { Chart, Legend } from '../ui/chart';
import { Empty, ErrorBox, Skeleton, SnapshotProgress, Sparkline } from '../ui/parts';
import { toSeries } from './activity_chart';
import { Flow } from './pipeline_flow';

const kRecentMs = 2_000;

function Headline(props: { now: Status }): JSX.Element {
  const { tone, title, detail } = headline(props.now, views.value);
  const { snapshot } = props.now.source;
  return (
    <div class={`headline tone-${tone}`}>
      <span class="dot" aria-hidden="true" />
      <div>
        <h1 data-testid="headline">
          {lostAt.value !== null && 'Last known: '}
          {title}
        </h1>
        <p data-testid="headline-detail">{detail}</p>
        {snapshot?.state === 'running' && <SnapshotProgress snapshot={snapshot} bar_only />}
      </div>
    </div>
  );
}

/** Tables that are read beside the stream: how far they are, or what they wait for. */
function Reads(props: { now: Status }): JSX.Element | null {
  const reads = props.now.source.reads ?? [];
  if (reads.length === 0) return null;
  return (
    <section class="card" aria-labelledby="reads-title">
      <h2 id="reads-title">{plural(reads.length, 'table')} being read beside the stream</h2>
      <ul class="reads" data-testid="reads">
        {reads.map((read) => (
          <li key={read.table}>
            <p class="notice-title">{read.table}</p>
            <progress aria-label={`${read.table} read`} max={100} value={read.percent ?? 0} />
            <p class="muted">
              {read.state === 'waiting' ? 'Waits for its turn' : readingPace(read)}.
              {read.message && ` ${read.message[0]!.toUpperCase()}${read.message.slice(1)}.`}
            </p>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Problems(props: { now: Status }): JSX.Element | null {
  const found = problems(props.now, views.value);
  if (found.length === 0) return null;
  return (
    <section class="card" aria-labelledby="problems-title">
      <h2 id="problems-title">{plural(found.length, 'thing')} to look at</h2>
      <ul class="problems">
        {found.map((one) => (
          <li key={one.what} class={`tone-${one.tone}`}>
            <p class="notice-title">{one.what}</p>
            <p>{one.todo}</p>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Tile(props: {
  name: string;
  value: string;
  unit?: string;
  note: ComponentChildren;
  line?: readonly number[];
}): JSX.Element {
  return (
    <div class="tile">
      <dt>{props.name}</dt>
      <dd>
        <p class="tile-value">
          {props.value} {props.unit && <span class="tile-unit">{props.unit}</span>}
        </p>
        <p class="tile-note">{props.note}</p>
        {props.line && <Sparkline values={props.line} length={120} />}
      </dd>
    </div>
  );
}

function slotNote(source: Source): string {
  const allowed =
    toNumber(source.wal_limit_bytes) === null ? '' : `, ${bytes(source.wal_limit_bytes)} allowed`;
  const state = source.wal_status ? `, ${source.wal_status}` : '';
  return `for slot ${source.slot ?? kUnknown}${state}${allowed}`;
}

function Tiles(props: { now: Status }): JSX.Element {
  const { source, log, rates } = props.now;
  const last = slowest(props.now);
  const history = samples.value;
  return (
    <dl class="tiles">
      <Tile
        name="Arriving now"
        value={rate(rates?.changes_per_second)}
        unit="changes/s"
        note={`${bytes(rates?.bytes_per_second)}/s`}
        line={history.map((one) => one.changes_per_second)}
      />
      <Tile
        name="Furthest behind"
        value={last ? duration(last.lag_ms) : kUnknown}
        note={last ? `${last.name}, ${bytes(last.lag_bytes)} to do` : 'No follower is running'}
        line={history.map((one) => one.lag_ms)}
      />
      <Tile
        name="WAL kept by PostgreSQL"
        value={bytes(source.retained_wal_bytes)}
        note={slotNote(source)}
      />
      <Tile
        name="Log on disk"
        value={bytes(log?.bytes)}
        note={`${plural(log?.segments ?? null, 'segment')}, ${bytes(log?.free_disk_bytes)} free`}
      />
    </dl>
  );
}

/** The last quarter of an hour at a glance; the page "Activity" has the rest. */
function Recent(): JSX.Element | null {
  const minute = Math.floor(serverNow() / kBucketMs.minute);
  const range = useMemo(() => presetRange('15m', serverNow()), [minute]);
  const query = new URLSearchParams({
    from: new Date(range.from).toISOString(),
    to: new Date(range.to).toISOString(),
    bucket: range.bucket,
  });
  const activity = usePoll<Activity>('recent', `/api/v1/activity?${query}`, kRecentMs);
  const stack = useMemo(
    () => stackBuckets(activity.data?.buckets ?? [], range, 'op', 'changes'),
    [activity.data, range],
  );
  const series = useMemo(() => toSeries(stack, 'op'), [stack]);
  if (!activity.data) return null;
  const total = stack.series.reduce((sum, one) => sum + one.total, 0);
  return (
    <section class="card" aria-labelledby="recent-title">
      <div class="card-head">
        <h2 id="recent-title">
          {total === 0 ? 'No changes' : plural(total, 'change')}{' '}
          <span class="muted">in the last 15 minutes</span>
        </h2>
        {total > 0 && <Legend series={series} total={(one) => count(seriesTotal(one.values))} />}
        <a href={linkTo({ page: 'activity' })} onClick={follow({ page: 'activity' })}>
          All activity
        </a>
      </div>
      {total > 0 && (
        <Chart
          label={`${plural(total, 'change')} in the last 15 minutes by operation.`}
          kind="stack"
          times={stack.times}
          step={kBucketMs[range.bucket]}
          series={series}
          format={count}
          height={170}
          unit="count"
          now={serverNow()}
        />
      )}
    </section>
  );
}

export function PipelinePage(): JSX.Element {
  const now = status.value;
  const error = statusError.value;
  if (!now) {
    return (
      <>
        <h1 class="hidden">Pipeline</h1>
        {lostAt.value !== null ? (
          <Empty title="Nothing to show until the server answers again." />
        ) : error ? (
          <ErrorBox error={error} retry={refreshStatus} />
        ) : (
          <Skeleton label="Asking for the state of the pipeline" lines={9} />
        )}
      </>
    );
  }
  return (
    <>
      {error && <ErrorBox error={error} retry={refreshStatus} />}
      <Headline now={now} />
      <Problems now={now} />
      <Reads now={now} />
      <Tiles now={now} />
      <h2 class="hidden">From the source to the followers</h2>
      <Flow now={now} />
      <Recent />
    </>
  );
}
