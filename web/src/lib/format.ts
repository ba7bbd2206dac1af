// Numbers, sizes and times as people read them. Pure; times are shown in the reader's own zone.

import type { Cell, Count } from './types';

export const kUnknown = '–';

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** A count or size as a number, or null where it is not known. Only for display and comparison. */
export function toNumber(value: Count): number | null {
  if (value === null || value === undefined || value === '') return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

/** 1204332 -> "1,204,332"; exact for integers of any size that come as text. */
export function count(value: Count): string {
  if (typeof value === 'string' && /^-?\d+$/.test(value)) return grouped.format(BigInt(value));
  const number = toNumber(value);
  return number === null ? kUnknown : grouped.format(number);
}

/** "1 row", "2 rows". */
export function plural(value: Count, one: string, many = `${one}s`): string {
  return `${count(value)} ${toNumber(value) === 1 ? one : many}`;
}

function scaled(value: number, step: number, units: readonly string[]): [string, string] {
  let rest = Math.abs(value);
  let unit = 0;
  // 999.5 would read "1000": it belongs to the next unit already.
  while (rest >= (step === 1000 ? 999.5 : 1023.5) && unit < units.length - 1) {
    rest /= step;
    unit += 1;
  }
  const digits = unit === 0 || rest >= 99.95 ? 0 : 1;
  const text = `${value < 0 ? '-' : ''}${rest.toFixed(digits).replace(/\.0$/, '')}`;
  return [text, units[unit] ?? ''];
}

/** For axes: 1234 -> "1.2k". */
export function compact(value: number): string {
  if (Math.abs(value) < 1000) return String(Math.round(value * 100) / 100);
  return scaled(value, 1000, ['', 'k', 'M', 'G', 'T', 'P']).join('');
}

/** 3_565_158 -> "3.4 MiB". */
export function bytes(value: Count): string {
  const number = toNumber(value);
  if (number === null) return kUnknown;
  return scaled(number, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']).join(' ');
}

/** 12.54 -> "12.5", 1250.4 -> "1,250". */
export function rate(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return kUnknown;
  if (value >= 100 || value === 0) return grouped.format(value);
  return value < 0.1 ? '< 0.1' : value.toFixed(1).replace(/\.0$/, '');
}

/** Milliseconds in the two largest units: "340 ms", "12 s", "3 min 20 s", "3 d 4 h". */
export function duration(value: Count): string {
  const ms = toNumber(value);
  if (ms === null) return kUnknown;
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1).replace(/\.0$/, '')} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const two = (whole: number, unit: string, rest: number, small: string): string =>
    rest > 0 ? `${whole} ${unit} ${rest} ${small}` : `${whole} ${unit}`;
  if (seconds < 3600) return two(Math.floor(seconds / 60), 'min', seconds % 60, 's');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1440) return two(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.floor(minutes / 60);
  return two(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

const two = (value: number): string => String(value).padStart(2, '0');

/** Milliseconds since 1970 of a time of the API; null for none or one that is not a time. */
export function parseTime(text: string | null | undefined): number | null {
  if (!text) return null;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : ms;
}

/** "14:03:21". */
export function clock(ms: number): string {
  const at = new Date(ms);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** "2026-11-21". */
export function day(ms: number): string {
  const at = new Date(ms);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** The clock alone for a time of today, with its date otherwise. */
export function moment(ms: number | null, now: number): string {
  if (ms === null) return kUnknown;
  return day(ms) === day(now) ? clock(ms) : `${day(ms)} ${clock(ms)}`;
}

/** "just now", "12 s ago", "3 h ago". */
export function ago(ms: number | null, now: number): string {
  if (ms === null) return kUnknown;
  const past = now - ms;
  if (past < 1500) return 'just now';
  return `${duration(past).split(' ').slice(0, 2).join(' ')} ago`;
}

/** The reader's zone at that time: "Europe/Paris (UTC+1)". */
export function zone(ms: number): string {
  const minutes = -new Date(ms).getTimezoneOffset();
  const sign = minutes < 0 ? '-' : '+';
  const rest = Math.abs(minutes) % 60;
  const offset = `UTC${sign}${Math.floor(Math.abs(minutes) / 60)}${rest ? `:${two(rest)}` : ''}`;
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return name && name !== 'UTC' ? `${name} (${offset})` : 'UTC';
}

/** What <input type="datetime-local"> holds: local time without a zone. */
export function toLocalInput(ms: number): string {
  const at = new Date(ms);
  return `${day(ms)}T${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** A cell as text, exactly as it came: nothing rounded, nothing grouped. */
export function cell(value: Cell | undefined): string {
  if (value === null || value === undefined) return 'NULL';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

const numericType =
  /^(u?(tiny|small|big|huge)int|u?int(eger)?\d*|float\d*|double|real|decimal|numeric)\b/i;
const timeType = /^(timestamp|date\b|datetime)/i;

export const isNumericType = (type: string): boolean =>
  numericType.test(type) && !type.endsWith('[]');
export const isTimeType = (type: string): boolean => timeType.test(type) && !type.endsWith('[]');
