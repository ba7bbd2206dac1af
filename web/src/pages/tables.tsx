// The captured tables: what they hold here, and what happened in them.

import type { JSX } from 'preact';
import { follow, go, linkTo, url } from '../lib/app_state';
import { ago, bytes, count, moment, parseTime, plural, toNumber } from '../lib/format';
import { usePoll } from '../lib/poll';
import { sqlName } from '../lib/sql_text';
import { serverNow } from '../lib/status_feed';
import type { Count, Table } from '../lib/types';
import { Chip, Empty, Loaded, Notice } from '../ui/parts';

const kEveryMs = 2_000;

const nameOf = (table: Table): string => `${table.schema}.${table.name}`;

function Number(props: { value: Count }): JSX.Element {
  return (
    <td class={`number${toNumber(props.value) === 0 ? ' zero' : ''}`}>{count(props.value)}</td>
  );
}

function TableRow(props: { table: Table; chosen: boolean }): JSX.Element {
  const { table, chosen } = props;
  const name = nameOf(table);
  const last = parseTime(table.last_change);
  const now = serverNow();
  return (
    <tr class={chosen ? 'chosen' : undefined}>
      <th scope="row">
        <button
          type="button"
          class="link"
          aria-expanded={chosen}
          onClick={() => go({ table: chosen ? '' : name }, 'replace')}
        >
          {name}
        </button>
        {table.error && <Chip tone="bad">stopped</Chip>}
      </th>
      <td class="number">
        {table.mirrored === false ? <span class="muted">not mirrored</span> : count(table.rows)}
      </td>
      <td class="number">{table.mirrored === false ? '' : bytes(table.bytes)}</td>
      <Number value={table.inserts} />
      <Number value={table.updates} />
      <Number value={table.deletes} />
      <Number value={table.truncates} />
      <Number value={table.reads} />
      <td title={last === null ? undefined : moment(last, now)}>
        {last === null ? 'never' : ago(last, now)}
      </td>
    </tr>
  );
}

function Columns(props: { table: Table }): JSX.Element {
  const { table } = props;
  const name = nameOf(table);
  const query = `SELECT * FROM ${sqlName(table.schema)}.${sqlName(table.name)} LIMIT 100`;
  const keys = table.columns.filter((column) => column.key).length;
  return (
    <section class="card" aria-labelledby="columns-title">
      <div class="card-head">
        <h2 id="columns-title">
          {name} <span class="muted">{plural(table.columns.length, 'column')}</span>
        </h2>
        <a
          class="button"
          href={linkTo({ page: 'activity', table: name })}
          onClick={follow({ page: 'activity', table: name })}
        >
          Its activity
        </a>
        {table.mirrored !== false && (
          <a
            class="button"
            href={linkTo({ page: 'sql', sql: query })}
            onClick={follow({ page: 'sql', sql: query })}
          >
            Query it
          </a>
        )}
      </div>
      <div class="table-scroll" role="region" aria-label={`Columns of ${name}`} tabIndex={0}>
        <table class="data">
          <thead>
            <tr>
              <th scope="col">Column</th>
              <th scope="col">Type</th>
              <th scope="col">Key</th>
              <td class="rest" />
            </tr>
          </thead>
          <tbody>
            {table.columns.map((column) => (
              <tr key={column.name}>
                <th scope="row">{column.name}</th>
                <td>{column.type}</td>
                <td>{column.key ? 'key' : ''}</td>
                <td class="rest" />
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {table.error && (
        <Notice tone="bad" title={`The mirror of this table has stopped: ${table.error}`}>
          <p class="prose">The views over it have stopped too; everything else goes on.</p>
        </Notice>
      )}
      {keys === 0 && (
        <p class="prose muted">
          This table has no key here: with replica identity FULL its rows are kept as a bag,
          otherwise only inserts are followed.
        </p>
      )}
    </section>
  );
}

function Tables(props: { tables: readonly Table[] }): JSX.Element {
  const { tables } = props;
  const chosen = tables.find((one) => nameOf(one) === url.value.table);
  if (tables.length === 0) {
    return (
      <Empty title="No tables are captured.">
        <p class="prose">
          None matches “tables” under “source” in the configuration. Run “pgweir check” to see what
          it finds.
        </p>
      </Empty>
    );
  }
  return (
    <>
      <section class="card" aria-label="Captured tables">
        <div class="table-scroll" role="region" aria-label="Captured tables" tabIndex={0}>
          <table class="data">
            <thead>
              <tr>
                <th scope="col">Table</th>
                <th scope="col" class="number">
                  Rows in the mirror
                </th>
                <th scope="col" class="number">
                  Size
                </th>
                <th scope="col" class="number">
                  Inserts
                </th>
                <th scope="col" class="number">
                  Updates
                </th>
                <th scope="col" class="number">
                  Deletes
                </th>
                <th scope="col" class="number">
                  Truncates
                </th>
                <th scope="col" class="number">
                  Reads
                </th>
                <th scope="col">Last change</th>
              </tr>
            </thead>
            <tbody>
              {tables.map((one) => (
                <TableRow key={nameOf(one)} table={one} chosen={one === chosen} />
              ))}
            </tbody>
          </table>
        </div>
        <p class="as-of">
          Counts since the log began; reads are rows of snapshots. Choose a table for its columns.
        </p>
      </section>
      {chosen && <Columns table={chosen} />}
    </>
  );
}

export function TablesPage(): JSX.Element {
  const tables = usePoll<{ tables: Table[] }>('tables', '/api/v1/tables', kEveryMs);
  return (
    <>
      <h1>Tables</h1>
      <Loaded from={tables} label="Reading the list of tables">
        {(data) => <Tables tables={data.tables} />}
      </Loaded>
    </>
  );
}
