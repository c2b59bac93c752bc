/**
 * Distinguished names as text, in EJBCA's form: `CN=x,O=y,C=se`, special characters after a backslash.
 *
 * Owns splitting, escaping and unescaping. From DER to text is `distinguished-name-reader.ts`,
 * back is `distinguished-name-writer.ts`.
 */

/** One `type=value` of a name. */
export interface NamePart {
  /** As written: a symbol or a dotted object identifier; '' where no `=` was found. */
  readonly type: string;
  /** As written, still escaped; outer blanks are gone. */
  readonly value: string;
}

/**
 * Splits a name into its relative names, each of one part or, joined by `+`, several.
 *
 * Separators inside quotes or after a backslash do not separate. An empty name has no parts. Never refuses.
 */
export function splitDistinguishedName(dn: string): readonly (readonly NamePart[])[] {
  if (dn.trim() === '') return [];
  const rdns: NamePart[][] = [];
  let parts: NamePart[] = [];
  let quoted = false;
  let start = 0;
  for (let i = 0; i <= dn.length; i++) {
    const character = dn[i];
    if (character === '\\') i++;
    else if (character === '"') quoted = !quoted;
    if (i < dn.length && (quoted || (character !== ',' && character !== '+'))) continue;
    parts.push(partOf(dn.slice(start, i)));
    start = i + 1;
    if (character === '+') continue;
    rdns.push(parts);
    parts = [];
  }
  return rdns;
}

function partOf(text: string): NamePart {
  const equals = text.indexOf('=');
  return { type: text.slice(0, Math.max(equals, 0)).trim(), value: trimBlanks(text.slice(equals + 1)) };
}

/** Trims, but keeps a last blank that is escaped. */
function trimBlanks(text: string): string {
  const value = text.trim();
  const escapedBlank = /(?:^|[^\\])(?:\\\\)*\\$/.test(value.slice(-64));
  return escapedBlank ? `${value} ` : value;
}

/** The value behind a written one: quotes and backslashes resolved, `\XX` taken as UTF-8 octets (RFC 4514 3). */
export function unescapeNameValue(written: string): string {
  if (!written.includes('\\') && !written.includes('"')) return written;
  return written.replaceAll(
    /((?:\\[0-9a-fA-F]{2})+)|\\(.)|"/gs,
    (_match, octets: string | undefined, character: string | undefined) =>
      octets === undefined ? (character ?? '') : Buffer.from(octets.replaceAll('\\', ''), 'hex').toString('utf8'),
  );
}

/**
 * A value as EJBCA prints it: `, + " \ < > ; =` anywhere, blanks at both ends and `#` in front are escaped.
 *
 * NUL is printed as `\00` (RFC 4514 2.4), because databases do not store it in text.
 */
export function escapeNameValue(value: string): string {
  const escaped = value.replaceAll(/[,+"\\<>;=]/g, '\\$&').replaceAll('\0', '\\00');
  const front = escaped.startsWith('#') ? `\\${escaped}` : escaped;
  const blanks = front.length - front.trimStart().length;
  const tail = front.length - front.trimEnd().length;
  if (blanks === 0 && tail === 0) return front;
  return escapeOuterBlanks(front);
}

function escapeOuterBlanks(value: string): string {
  let first = 0;
  while (value[first] === ' ') first++;
  let last = value.length;
  while (last > first && value[last - 1] === ' ') last--;
  return '\\ '.repeat(first) + value.slice(first, last) + '\\ '.repeat(value.length - last);
}

/** The first common name in a name; undefined when there is none. */
export function commonNameOf(dn: string): string | undefined {
  if (dn.startsWith('CN=')) {
    const comma = dn.indexOf(',');
    const value = dn.slice(3, comma === -1 ? undefined : comma);
    if (!/[\\"+]/.test(value)) return value.trim();
  }
  return attributeValues(dn, 'CN')[0];
}

/** The values of all attributes with this symbol (`CN`, `OU`), unescaped, in the order of the name. */
export function attributeValues(dn: string, symbol: string): readonly string[] {
  return splitDistinguishedName(dn)
    .flat()
    .filter(({ type }) => type.toUpperCase() === symbol.toUpperCase())
    .map(({ value }) => unescapeNameValue(value));
}
