// The views: a list, and one of them as a table that lives.

import type { JSX } from 'preact';
import { follow, linkTo, url } from '../lib/app_state';
import { plural } from '../lib/format';
import { usePoll } from '../lib/poll';
import { sqlName } from '../lib/sql_text';
import type { View } from '../lib/types';
import { strategyOf, viewState } from '../lib/words';
import { Chip, Empty, Loaded, Notice, SqlText } from '../ui/parts';
import { LiveRows } from './live_rows';

const kListMs = 3_000;

function ViewList(props: { views: readonly View[]; chosen: string }): JSX.Element {
  return (
    <nav class="list card" aria-label="Views">
      <ul>
        {props.views.map((view) => {
          const { text, tone } = viewState(view.state);
          return (
            <li key={view.name}>
              <a
                href={linkTo({ view: view.name })}
                onClick={follow({ view: view.name })}
                aria-current={view.name === props.chosen ? 'true' : undefined}
              >
                <span class="list-name">{view.name}</span>
                <span class="list-count">
                  {view.state === 'failed' ? '' : plural(view.rows, 'row')}
                </span>
                <span class="list-note">{strategyOf(view.strategy).text}</span>
                <Chip tone={tone}>{text}</Chip>
              </a>
            </li>
          );
        })}
      </ul>
    </nav>
  );
}

function ViewDetail(props: { view: View }): JSX.Element {
  const { view } = props;
  const { text, tone } = viewState(view.state);
  const strategy = strategyOf(view.strategy);
  const query = `SELECT * FROM ${sqlName(view.name)} LIMIT 100`;
  return (
    <div class="detail">
      <div class="detail-head">
        <h2>{view.name}</h2>
        <Chip tone={tone}>{text}</Chip>
        {view.state !== 'failed' && (
          <a
            class="button"
            href={linkTo({ page: 'sql', sql: query })}
            onClick={follow({ page: 'sql', sql: query })}
          >
            Query it
          </a>
        )}
      </div>
      {view.error && (
        <Notice tone="bad" title={view.error} alert>
          <p class="prose">
            The other views go on. Correct the SQL in the configuration and start pgweir again.
          </p>
        </Notice>
      )}
      {view.state === 'building' && (
        <Notice tone="busy" title="This view is being built from its tables.">
          <p class="prose">Its rows appear when it is complete.</p>
        </Notice>
      )}
      {view.state !== 'failed' && <LiveRows view={view} />}
      <section class="card" aria-labelledby="definition-title">
        <h3 id="definition-title">Definition</h3>
        <SqlText sql={view.sql} label={`SQL of ${view.name}`} />
        <p class="prose">
          Kept by <b>{strategy.text}</b>. {strategy.meaning} {view.reason}
        </p>
        {view.mode && <p class="muted">Output mode: {view.mode}</p>}
      </section>
    </div>
  );
}

export function ViewsPage(): JSX.Element {
  const views = usePoll<{ views: View[] }>('views', '/api/v1/views', kListMs);
  return (
    <>
      <h1>Views</h1>
      <Loaded from={views} label="Reading the list of views" lines={6}>
        {(data) => {
          const name = url.value.view || data.views[0]?.name || '';
          const view = data.views.find((one) => one.name === name);
          if (data.views.length === 0) {
            return (
              <Empty title="No views yet.">
                <p class="prose">
                  A view is a SELECT whose result is kept right as rows change. Write one under
                  “views” in the configuration:
                </p>
                <SqlText
                  label="Example"
                  sql={
                    'views:\n  balance: SELECT account_id, sum(amount) AS balance FROM entries GROUP BY 1'
                  }
                />
              </Empty>
            );
          }
          return (
            <div class="split">
              <ViewList views={data.views} chosen={name} />
              {view ? (
                <ViewDetail key={view.name} view={view} />
              ) : (
                <Empty title={`There is no view ${name}.`}>
                  <p class="prose">
                    It may have been renamed or taken out of the configuration. Choose one of the
                    list.
                  </p>
                </Empty>
              )}
            </div>
          );
        }}
      </Loaded>
    </>
  );
}
