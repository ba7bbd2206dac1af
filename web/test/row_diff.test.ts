import { describe, expect, it } from 'vitest';
import { diffRows } from '../src/lib/row_diff';
import type { Cell } from '../src/lib/types';

/** Changed cells as text: "." same, "x" changed, "new" for a new row. */
function marks(before: Cell[][] | null, after: Cell[][]): string[] {
  return diffRows(before, after).rows.map((row, at) =>
    row === 'new'
      ? 'new'
      : (after[at] ?? []).map((_, index) => (row.has(index) ? 'x' : '.')).join(''),
  );
}

describe('diffRows', () => {
  it.each<[string, Cell[][] | null, Cell[][], string[]]>([
    ['nothing on the first look', null, [[1, 'a']], ['..']],
    ['nothing after an empty page', [], [[1, 'a']], ['..']],
    ['nothing when nothing changed', [[1, 'a']], [[1, 'a']], ['..']],
    [
      'the changed cell',
      [
        [1, 10],
        [2, 20],
      ],
      [
        [1, 10],
        [2, 21],
      ],
      ['..', '.x'],
    ],
    [
      'a new row',
      [
        [1, 10],
        [2, 20],
      ],
      [
        [1, 10],
        [3, 20],
        [2, 20],
      ],
      ['..', 'new', '..'],
    ],
    [
      'rows that moved as unchanged',
      [
        [1, 30],
        [2, 20],
      ],
      [
        [2, 20],
        [1, 30],
      ],
      ['..', '..'],
    ],
    [
      'moved and changed rows by their key',
      [
        [1, 30],
        [2, 20],
      ],
      [
        [2, 40],
        [1, 30],
      ],
      ['.x', '..'],
    ],
    [
      'by a key that is not the first column',
      [
        ['x', 1],
        ['x', 2],
      ],
      [
        ['x', 1],
        ['y', 2],
      ],
      ['..', 'x.'],
    ],
    [
      'by two columns together',
      [
        ['a', 1, 5],
        ['a', 2, 5],
        ['b', 1, 5],
      ],
      [
        ['a', 1, 5],
        ['a', 2, 6],
        ['b', 1, 5],
      ],
      ['...', '..x', '...'],
    ],
    ['a single row whose only value changed', [['0.00']], [['1.00']], ['x']],
    ['NULL and the text NULL as different rows of one page', [[1, null]], [[1, 'a']], ['.x']],
    ['nothing where the columns are others', [[1]], [[1, 2]], ['..']],
  ])('shows %s', (_, before, after, expected) => expect(marks(before, after)).toEqual(expected));

  it('keeps the name of a row as long as its key stays', () => {
    const before: Cell[][] = [
      [1, 10],
      [2, 20],
    ];
    const first = diffRows(before, [
      [2, 21],
      [1, 10],
    ]).keys;
    expect(first).toEqual(['2', '1']);
  });

  it('of rows without any key is by nothing, and marks nothing', () => {
    expect(marks([[1], [1]], [[1], [1]])).toEqual(['.', '.']);
  });
});
