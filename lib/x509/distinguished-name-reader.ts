/**
 * A DER Name as EJBCA's text.
 *
 * EJBCA stores every name in one order, its own (see `name-attributes.ts`), whatever the order in the
 * certificate: a name that looks reversed (country first) is turned round, then the relative names are
 * sorted; equal types keep their order, types without a place come last.
 *
 * @see EJBCA, table CertificateData, columns issuerDN and subjectDN
 */
import { type DerCursor, DerError, TAG } from './der.ts';
import { escapeNameValue } from './distinguished-name.ts';
import { attributeAt } from './name-attributes.ts';
import { dottedFromOid } from './object-identifier.ts';

interface RelativeName {
  readonly text: string;
  /** Place of its first attribute in EJBCA's order; undefined = none. */
  readonly rank: number | undefined;
  /** Symbol or dotted object identifier of its first attribute. */
  readonly type: string;
}

const UNRANKED = 1000;
const NOTHING: RelativeName = { text: '', rank: undefined, type: '' };

/**
 * Text of a Name.
 *
 * Carries everything: unknown types print as dotted object identifiers, values that are no strings as `#` and
 * the hex of their DER, and what is not made of attributes at all as `#` and the hex of the whole Name.
 *
 * @param name cursor at the SEQUENCE of relative names
 */
export function readDistinguishedName(name: DerCursor): string {
  try {
    return readRelativeNames(name);
  } catch (error) {
    if (error instanceof DerError) return `#${name.hex()}`;
    throw error;
  }
}

function readRelativeNames(name: DerCursor): string {
  const rdns: RelativeName[] = [];
  const sequence = name.enter();
  const attributes = new AttributeReader(name);
  let sorted = true;
  let last = 0;
  while (sequence.read()) {
    const rdn = attributes.readRelativeName(sequence);
    const rank = rdn.rank ?? UNRANKED;
    // Two types without a place may still have to be brought together by type.
    sorted = sorted && rank >= last && rank < UNRANKED;
    last = rank;
    rdns.push(rdn);
  }
  const ordered = sorted ? rdns : inOrder(rdns);
  let joined = ordered[0]?.text ?? '';
  for (let i = 1; i < ordered.length; i++) joined += `,${ordered[i]?.text}`;
  return joined;
}

function inOrder(rdns: readonly RelativeName[]): readonly RelativeName[] {
  // An attribute without a place counts as the first of all here, as in EJBCA.
  const reversed = (rdns.at(-1)?.rank ?? 0) < (rdns[0]?.rank ?? 0);
  const forward = reversed ? rdns.toReversed() : rdns;
  const firstSeen = new Map<string, number>();
  for (const { type } of forward) if (!firstSeen.has(type)) firstSeen.set(type, UNRANKED + firstSeen.size);
  const place = (rdn: RelativeName): number => rdn.rank ?? firstSeen.get(rdn.type) ?? UNRANKED;
  return forward.toSorted((a, b) => place(a) - place(b));
}

/** Reads the attributes of one name with one cursor and one string, which is what makes it fast. */
class AttributeReader {
  readonly #fields: DerCursor;
  /** The whole content, one character per octet; plain values are cut out of it. */
  readonly #latin1: string;
  readonly #offset: number;

  constructor(name: DerCursor) {
    this.#fields = name.enter();
    this.#latin1 = name.text('latin1');
    this.#offset = name.contentStart;
  }

  readRelativeName(rdn: DerCursor): RelativeName {
    const fields = this.#fields;
    fields.moveInto(rdn);
    if (!fields.read()) return NOTHING;
    return fields.hasMore ? this.#readMultiValued(rdn) : this.#readAttribute(fields);
  }

  /** A relative name of several attributes, in the order of a DER SET even where the certificate has another. */
  #readMultiValued(rdn: DerCursor): RelativeName {
    const found: { readonly der: Uint8Array; readonly attribute: RelativeName }[] = [];
    const values = rdn.enter();
    while (values.read()) found.push({ der: values.element(), attribute: this.#readAttribute(values) });
    found.sort((a, b) => Buffer.compare(a.der, b.der));
    const first = found[0]?.attribute ?? NOTHING;
    return { ...first, text: found.map(({ attribute }) => attribute.text).join('+') };
  }

  #readAttribute(attribute: DerCursor): RelativeName {
    const fields = this.#fields;
    fields.moveInto(attribute);
    if (!fields.read()) return NOTHING;
    const known = attributeAt(fields.bytes, fields.contentStart, fields.contentEnd);
    const type = known?.symbol ?? dottedFromOid(fields.content());
    const value = fields.read() ? this.#readValue(fields) : '';
    return { text: `${type}=${value}`, rank: known?.rank, type };
  }

  #readValue(value: DerCursor): string {
    switch (value.tag) {
      case TAG.utf8String:
        return isPlain(value) ? this.#cutOut(value) : escapeNameValue(value.text('utf8'));
      case TAG.printableString:
      case TAG.ia5String:
      case TAG.numericString:
      case TAG.teletexString:
      case TAG.videotexString:
      case TAG.graphicString:
      case TAG.visibleString:
      case TAG.generalString:
        return isPlain(value) ? this.#cutOut(value) : escapeNameValue(this.#cutOut(value));
      case TAG.bmpString:
        return escapeNameValue(new TextDecoder('utf-16be', { ignoreBOM: true }).decode(value.content()));
      case TAG.bitString:
        // A string that happens to begin with '#', as EJBCA's library sees it.
        return `\\#${value.hex().toUpperCase()}`;
      default:
        return `#${value.hex()}`;
    }
  }

  #cutOut({ contentStart, contentEnd }: DerCursor): string {
    return this.#latin1.slice(contentStart - this.#offset, contentEnd - this.#offset);
  }
}

/** Octets that print as they are, wherever they stand. */
const PLAIN = Uint8Array.from({ length: 256 }, (_, octet) =>
  Number(/[A-Za-z0-9.:@/'()*?!_-]/.test(String.fromCharCode(octet))),
);
const BLANK = 0x20;

/** Whether the value needs neither decoding nor escaping: the usual case, found out without a string. */
function isPlain({ bytes, contentStart, contentEnd }: DerCursor): boolean {
  if (bytes[contentStart] === BLANK || bytes[contentEnd - 1] === BLANK) return false;
  for (let i = contentStart; i < contentEnd; i++) {
    const octet = bytes[i] ?? 0;
    if (PLAIN[octet] !== 1 && octet !== BLANK) return false;
  }
  return true;
}
