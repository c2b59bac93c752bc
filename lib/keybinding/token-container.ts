/**
 * The container of a crypto token: a PKCS#12 file (RFC 7292) of encrypted keys, each under its name.
 *
 * Owns the layout and the MAC over it. Narrow on purpose: it reads what it writes. Any other PKCS#12 file is read by
 * `pkcs12.ts`, on the event loop.
 */
import { createHmac, hash, randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DerCursor, DerError, TAG } from '../x509/der.ts';
import {
  element,
  explicit,
  integer,
  nullValue,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
} from '../x509/der-writer.ts';
import { dottedFromOid } from '../x509/object-identifier.ts';
import { decimalFromInteger } from '../x509/serial-number.ts';

const DATA = '1.2.840.113549.1.7.1';
const SHROUDED_KEY_BAG = '1.2.840.113549.1.12.10.1.2';
const FRIENDLY_NAME = '1.2.840.113549.1.9.20';
const SHA256 = '2.16.840.1.101.3.4.2.1';
const VERSION = 3;
const EXPLICIT_0 = 0xa0;
const MAX_MAC_ITERATIONS = 10_000_000;
const MAX_KEYS = 100;
/** Rounds of the key derivation in one turn of the event loop. */
const ROUNDS_PER_TURN = 2_000;

/** Encrypted keys, DER of EncryptedPrivateKeyInfo, by their names. */
export type NamedKeys = ReadonlyMap<string, Uint8Array>;

/** The key of the MAC and what it was made of; costs a while to make, so it is kept. */
export interface MacKey {
  readonly secret: Uint8Array;
  readonly salt: Uint8Array;
  readonly iterations: number;
}

/** What is read from a container before its MAC is verified. */
export interface Container {
  readonly keys: NamedKeys;
  readonly salt: Uint8Array;
  readonly iterations: number;
}

/** Writes a container. */
export function writeContainer(keys: NamedKeys, macKey: MacKey): Uint8Array {
  const bags = [...keys].map(([name, encrypted]) =>
    sequence(objectIdentifier(SHROUDED_KEY_BAG), explicit(0, encrypted), setOf(friendlyName(name))),
  );
  const content = sequence(dataContent(sequence(...bags)));
  const digest = sequence(sequence(objectIdentifier(SHA256), nullValue()), octetString(macOf(content, macKey)));
  const macData = sequence(digest, octetString(macKey.salt), integer(macKey.iterations));
  return sequence(integer(VERSION), dataContent(content), macData);
}

/** @throws DerError when the bytes are no container of this layout */
export function readContainer(bytes: Uint8Array): Container {
  const outer = new DerCursor(bytes);
  outer.expect(TAG.sequence);
  if (outer.hasMore) throw new DerError('bytes too many', outer.end);
  const fields = outer.enter();
  fields.expect(TAG.integer);
  fields.expect(TAG.sequence);
  const safe = new DerCursor(readData(fields));
  fields.expect(TAG.sequence);
  safe.expect(TAG.sequence);
  safe.moveInto(safe);
  safe.expect(TAG.sequence);
  return { keys: readBags(readData(safe)), ...readMac(fields.enter()) };
}

/** Whether bytes are, to the last one, what is written for these keys: no MAC covers the fields around it. */
export function isIntact(bytes: Uint8Array, { keys }: Container, macKey: MacKey): boolean {
  return Buffer.compare(writeContainer(keys, macKey), bytes) === 0;
}

/** Derives the key of the MAC from a passphrase (RFC 7292 B.2 with SHA-256), a little in each turn of the event loop. */
export async function deriveMacKey(
  passphrase: string,
  iterations: number,
  salt: Uint8Array = randomBytes(16),
): Promise<MacKey> {
  const block = 64;
  const password = bmpString(`${passphrase}\0`);
  const diversifier = Buffer.alloc(block, 3);
  let secret = hash('sha256', Buffer.concat([diversifier, fill(salt, block), fill(password, block)]), 'buffer');
  for (let round = 1; round < iterations; round++) {
    secret = hash('sha256', secret, 'buffer');
    if (round % ROUNDS_PER_TURN === 0) await nextTurn();
  }
  return { secret, salt, iterations };
}

function macOf(content: Uint8Array, { secret }: MacKey): Uint8Array {
  return createHmac('sha256', secret).update(content).digest();
}

function dataContent(content: Uint8Array): Uint8Array {
  return sequence(objectIdentifier(DATA), explicit(0, octetString(content)));
}

function friendlyName(name: string): Uint8Array {
  return sequence(objectIdentifier(FRIENDLY_NAME), setOf(element(TAG.bmpString, bmpString(name))));
}

/** What an OCTET STRING in a ContentInfo of type data holds. */
function readData(at: DerCursor): Uint8Array {
  const info = at.enter();
  expectOid(info, DATA);
  info.expect(EXPLICIT_0);
  const inner = info.enter();
  inner.expect(TAG.octetString);
  return inner.content();
}

function readBags(safeContents: Uint8Array): NamedKeys {
  const keys = new Map<string, Uint8Array>();
  const bags = new DerCursor(safeContents);
  bags.expect(TAG.sequence);
  bags.moveInto(bags);
  while (bags.read()) {
    if (keys.size >= MAX_KEYS) throw new DerError(`more than ${MAX_KEYS} keys`, bags.start);
    const bag = bags.enter();
    expectOid(bag, SHROUDED_KEY_BAG);
    bag.expect(EXPLICIT_0);
    const encrypted = bag.content();
    bag.expect(TAG.set);
    keys.set(readFriendlyName(bag.enter()), encrypted);
  }
  return keys;
}

function readFriendlyName(attributes: DerCursor): string {
  attributes.expect(TAG.sequence);
  const attribute = attributes.enter();
  expectOid(attribute, FRIENDLY_NAME);
  attribute.expect(TAG.set);
  const values = attribute.enter();
  values.expect(TAG.bmpString);
  return Buffer.from(values.content()).swap16().toString('utf16le');
}

function readMac(macData: DerCursor): Pick<Container, 'salt' | 'iterations'> {
  macData.expect(TAG.sequence);
  macData.expect(TAG.octetString);
  const salt = macData.content();
  macData.expect(TAG.integer);
  const iterations = Number(decimalFromInteger(macData.content()));
  if (!(iterations >= 1 && iterations <= MAX_MAC_ITERATIONS)) throw new DerError('too many iterations', macData.start);
  return { salt, iterations };
}

function expectOid(at: DerCursor, oid: string): void {
  at.expect(TAG.objectIdentifier);
  const found = dottedFromOid(at.content());
  if (found !== oid) throw new DerError(`${found} where ${oid} was expected`, at.start);
}

function bmpString(text: string): Buffer {
  return Buffer.from(text, 'utf16le').swap16();
}

/** The bytes again and again up to a multiple of the block. */
function fill(bytes: Uint8Array, block: number): Buffer {
  return Buffer.alloc(block * Math.ceil(bytes.length / block), bytes);
}
