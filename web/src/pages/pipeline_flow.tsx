// Source, log and followers, each with its position and how far it is behind the one before it.

import type { JSX } from 'preact';
import {
  ago,
  bytes,
  count,
  duration,
  kUnknown,
  moment,
  parseTime,
  plural,
  toNumber,
} from '../lib/format';
import { parseLsn } from '../lib/lsn';
import { serverNow } from '../lib/status_feed';
import type { Follower, Status } from '../lib/types';
import { followerState, kBehindMs } from '../lib/words';
import { Chip, Facts } from '../ui/parts';

/** How far one position is before another, or a dash when either is not known. */
function gap(ahead: string | null | undefined, behind: string | null | undefined): string {
  const far = parseLsn(ahead);
  const near = parseLsn(behind);
  if (far === null || near === null) return '';
  return far <= near ? '' : `${bytes((far - near).toString())} behind`;
}

function Lsn(props: { at: string | null | undefined; note?: string }): JSX.Element {
  return (
    <>
      <span class="lsn">{props.at || kUnknown}</span>
      {props.note && <span class="muted"> {props.note}</span>}
    </>
  );
}

function SourceCard(props: { now: Status }): JSX.Element {
  const { source } = props.now;
  const commit = parseTime(source.last_commit_time);
  const now = serverNow();
  const place = [source.database, source.host].filter(Boolean).join(' on ');
  return (
    <section class="card" aria-labelledby="source-title">
      <h3 id="source-title">
        Source <span class="card-name">{source.name}</span>
      </h3>
      <p class="muted">
        PostgreSQL {source.server_version ?? ''} {place && `· ${place}`}
      </p>
      <Facts
        rows={[
          ['Server is at', <Lsn at={source.server_lsn} />],
          [
            'Received up to',
            <Lsn at={source.received_lsn} note={gap(source.server_lsn, source.received_lsn)} />,
          ],
          [
            'Confirmed up to',
            <Lsn at={source.confirmed_lsn} note={gap(source.server_lsn, source.confirmed_lsn)} />,
          ],
          [
            'Last commit',
            commit === null ? 'none yet' : `${moment(commit, now)} (${ago(commit, now)})`,
          ],
          ['Slot', `${source.slot ?? kUnknown}${source.slot_active === false ? ', not read' : ''}`],
          ['Publication', source.publication ?? kUnknown],
          ['Tables captured', count(source.tables)],
        ]}
      />
    </section>
  );
}

function LogCard(props: { now: Status }): JSX.Element {
  const { log, source } = props.now;
  const oldest = parseTime(log?.oldest_time);
  return (
    <section class="card" aria-labelledby="log-title">
      <h3 id="log-title">Log</h3>
      <p class="muted">Durable before PostgreSQL is told so</p>
      <Facts
        rows={[
          [
            'Written up to',
            <Lsn at={log?.last_lsn} note={gap(source.received_lsn, log?.last_lsn)} />,
          ],
          ['Reaches back to', <Lsn at={log?.first_lsn} />],
          ['Oldest change', oldest === null ? 'none yet' : moment(oldest, serverNow())],
          ['Size', `${bytes(log?.bytes)} in ${plural(log?.segments ?? null, 'segment')}`],
          ['Free on its disk', bytes(log?.free_disk_bytes)],
        ]}
      />
    </section>
  );
}

function FollowerRow(props: { follower: Follower }): JSX.Element {
  const { follower } = props;
  const { text, tone } = followerState(follower.state);
  const late = (toNumber(follower.lag_ms) ?? 0) > kBehindMs;
  return (
    <li>
      <div class="follower-head">
        <b>{follower.name}</b>
        {follower.kind !== follower.name && <span class="muted">{follower.kind}</span>}
        <Chip tone={late && tone === 'good' ? 'warn' : tone}>{text}</Chip>
      </div>
      <Facts
        rows={[
          ['At', <Lsn at={follower.position} />],
          [
            'Behind',
            [follower.lag_ms === null ? '' : duration(follower.lag_ms), bytes(follower.lag_bytes)]
              .filter(Boolean)
              .join(', '),
          ],
        ]}
      />
    </li>
  );
}

function Followers(props: { now: Status }): JSX.Element {
  const followers = props.now.followers ?? [];
  return (
    <section class="card" aria-labelledby="followers-title">
      <h3 id="followers-title">
        Followers <span class="card-name">{count(followers.length)}</span>
      </h3>
      <p class="muted">Each reads the log at its own pace</p>
      {followers.length === 0 && <p>None is configured: changes are only kept in the log.</p>}
      <ul class="followers">
        {followers.map((one) => (
          <FollowerRow key={one.name} follower={one} />
        ))}
      </ul>
    </section>
  );
}

export function Flow(props: { now: Status }): JSX.Element {
  return (
    <div class="flow">
      <SourceCard now={props.now} />
      <span class="flow-arrow" aria-hidden="true" />
      <LogCard now={props.now} />
      <span class="flow-arrow" aria-hidden="true" />
      <Followers now={props.now} />
    </div>
  );
}
