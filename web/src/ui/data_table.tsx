// Rows as a table: types under the names, numbers to the right, exactly as they came.

import type { JSX } from 'preact';
import { useRef } from 'preact/hooks';
import { cell, isNumericType } from '../lib/format';
import { diffRows } from '../lib/row_diff';
import type { RowDiff } from '../lib/row_diff';
import type { Cell, Column } from '../lib/types';

const kNullClass = 'null';

function Value(props: { value: Cell | undefined }): JSX.Element {
  const { value } = props;
  if (value === null || value === undefined) return <span class={kNullClass}>NULL</span>;
  const text = cell(value);
  return <>{text === '' ? <span class={kNullClass}>empty</span> : text}</>;
}

/** What differs from the last rows of the same subject; a repaint of the same rows keeps it. */
function useDiff(subject: string, rows: readonly (readonly Cell[])[]): RowDiff & { look: number } {
  const held = useRef<{ subject: string; rows: typeof rows; diff: RowDiff; look: number } | null>(
    null,
  );
  const last = held.current;
  if (!last || last.rows !== rows || last.subject !== subject) {
    const before = last && last.subject === subject ? last.rows : null;
    held.current = { subject, rows, diff: diffRows(before, rows), look: (last?.look ?? 0) + 1 };
  }
  const now = held.current!;
  return { ...now.diff, look: now.look };
}

export interface DataTableProps {
  label: string;
  /** While it stays the same, cells that differ from the last rows flash. */
  subject: string;
  columns: readonly Column[];
  rows: readonly (readonly Cell[])[];
  flash?: boolean;
  /** The sorted column, descending with "-" before it. */
  order?: string;
  sort?: (order: string) => void;
}

function Heading(props: {
  column: Column;
  order: string;
  sort: ((order: string) => void) | undefined;
}): JSX.Element {
  const { column, order, sort } = props;
  const up = order === column.name;
  const down = order === `-${column.name}`;
  const content = (
    <>
      <span class="column-name">
        {column.name}
        {sort && (
          <span class="arrow" aria-hidden="true">
            {up ? '▲' : down ? '▼' : ''}
          </span>
        )}
      </span>
      <span class="column-type">{column.type.toLowerCase()}</span>
    </>
  );
  // Each click goes one further: ascending, descending, the view's own order.
  const next = up ? `-${column.name}` : down ? '' : column.name;
  return (
    <th
      scope="col"
      class={isNumericType(column.type) ? 'number' : undefined}
      aria-sort={up ? 'ascending' : down ? 'descending' : undefined}
    >
      {sort ? (
        <button type="button" onClick={() => sort(next)}>
          {content}
        </button>
      ) : (
        content
      )}
    </th>
  );
}

export function DataTable(props: DataTableProps): JSX.Element {
  const { columns, rows } = props;
  const diff = useDiff(props.subject, rows);
  const numeric = columns.map((column) => isNumericType(column.type));
  return (
    <div class="table-scroll" role="region" aria-label={props.label} tabIndex={0}>
      <table class="data">
        <thead>
          <tr>
            {columns.map((column) => (
              <Heading
                key={column.name}
                column={column}
                order={props.order ?? ''}
                sort={props.sort}
              />
            ))}
            <td class="rest" />
          </tr>
        </thead>
        <tbody>
          {rows.map((row, at) => {
            const change = props.flash ? diff.rows[at] : undefined;
            const fresh = change === 'new';
            const kind = fresh ? 'flash-new' : 'flash';
            return (
              <tr key={diff.keys[at]}>
                {columns.map((column, index) => {
                  const flash = fresh || (change instanceof Set && change.has(index));
                  return (
                    <td
                      // A new key starts the animation again when the same cell changes twice.
                      key={flash ? `${column.name} ${diff.look}` : column.name}
                      class={`${numeric[index] ? 'number' : ''} ${flash ? kind : ''}`}
                      title={cell(row[index]).length > 40 ? cell(row[index]) : undefined}
                    >
                      <Value value={row[index]} />
                    </td>
                  );
                })}
                <td class="rest" />
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
