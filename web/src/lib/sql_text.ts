// SQL as coloured pieces, and rows as CSV. Pure.

import { cell } from './format';
import type { Cell, Column } from './types';

export interface Piece {
  kind: 'word' | 'keyword' | 'text' | 'number' | 'comment' | 'other';
  text: string;
}

const keywords = new Set(
  (
    'all and any as asc between by case cast count cross desc distinct else end except exists false filter from ' +
    'full group having hop in inner intersect interval is join lateral left like limit not null offset ' +
    'on or order outer over partition right select session sum then true tumble union using values ' +
    'when where window with avg min max'
  ).split(' '),
);
const piece =
  /(--[^\n]*|\/\*[\s\S]*?\*\/)|('(?:[^']|'')*')|("(?:[^"]|"")*")|(\b\d+(?:\.\d+)?\b)|([A-Za-z_]\w*)|([\s\S])/g;

export function sqlPieces(sql: string): Piece[] {
  const pieces: Piece[] = [];
  for (const [text, comment, string, quoted, number, word] of sql.matchAll(piece)) {
    const kind = comment
      ? 'comment'
      : string
        ? 'text'
        : number
          ? 'number'
          : quoted
            ? 'word'
            : word
              ? keywords.has(word.toLowerCase())
                ? 'keyword'
                : 'word'
              : 'other';
    const last = pieces[pieces.length - 1];
    if (last && last.kind === kind && kind === 'other') last.text += text;
    else pieces.push({ kind, text });
  }
  return pieces;
}

/** A name as SQL takes it: in quotes where it is not a plain lower-case word. */
export const sqlName = (name: string): string =>
  /^[a-z_][a-z0-9_]*$/.test(name) && !keywords.has(name) ? name : `"${name.replace(/"/g, '""')}"`;

const csvCell = (text: string): string =>
  /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;

/** RFC 4180; NULL is an empty field. */
export function toCsv(columns: readonly Column[], rows: readonly (readonly Cell[])[]): string {
  const lines = [columns.map((column) => csvCell(column.name)).join(',')];
  for (const row of rows) {
    lines.push(row.map((value) => (value === null ? '' : csvCell(cell(value)))).join(','));
  }
  return `${lines.join('\r\n')}\r\n`;
}
