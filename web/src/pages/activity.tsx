// What changed, when, where and how much: by table and operation, over a range of time.

import type { JSX } from 'preact';
import { go, url } from '../lib/app_state';
import { kBucketMs } from '../lib/buckets';
import type { Range } from '../lib/buckets';
import { usePoll } from '../lib/poll';
import { serverNow } from '../lib/status_feed';
import type { Activity, Table } from '../lib/types';
import { Loaded, Notice, Toggle } from '../ui/parts';
import { Changes } from './activity_chart';
import { Filters, useRange } from './activity_filters';
import { Totals } from './activity_totals';
import { ChangesTail } from './changes_tail';

const kRefreshMs = 2_000;
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
        {tail ? (
          <ChangesTail table={table} op={op} />
        ) : (
          <p class="muted">Switch on to see each change with its old and new row.</p>
        )}
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
