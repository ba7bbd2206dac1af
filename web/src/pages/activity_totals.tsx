// What the changes of a range add up to, table by table.

import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { go, url } from '../lib/app_state';
import { kOps, tableTotals } from '../lib/buckets';
import type { TableTotals } from '../lib/buckets';
import { bytes, count } from '../lib/format';
import type { ActivityBucket } from '../lib/types';
import { CopyButton } from '../ui/parts';
import { opWords } from './activity_chart';

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

export function Totals(props: { rows: readonly ActivityBucket[] }): JSX.Element | null {
  const { table, op } = url.value;
  const { tables, sum } = useMemo(
    () => tableTotals(props.rows, { table, op }),
    [props.rows, table, op],
  );
  if (tables.length === 0) return null;
  const csv = (): string =>
    [
      ['table', ...kOps, 'changes', 'bytes'].join(','),
      ...tables.map((one) =>
        [one.table, ...kOps.map((name) => one[name]), one.changes, one.bytes].join(','),
      ),
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
