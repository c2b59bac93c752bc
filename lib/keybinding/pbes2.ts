/**
 * Private keys under a passphrase: EncryptedPrivateKeyInfo (RFC 5958 3) with PBES2 (RFC 8018 6.2), that is PBKDF2
 * with HMAC-SHA-256 and AES-256-CBC.
 *
 * node-forge and node:crypto would derive the key on the event loop; here it is done in a thread of libuv.
 */
import { createCipheriv, createDecipheriv, createPrivateKey, type KeyObject, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { DerCursor, DerError, TAG } from '../x509/der.ts';
import { integer, nullValue, objectIdentifier, octetString, sequence } from '../x509/der-writer.ts';
import { dottedFromOid } from '../x509/object-identifier.ts';
import { decimalFromInteger } from '../x509/serial-number.ts';

const PBES2 = '1.2.840.113549.1.5.13';
const PBKDF2 = '1.2.840.113549.1.5.12';
const HMAC_SHA256 = '1.2.840.113549.2.9';
const AES_256_CBC = '2.16.840.1.101.3.4.1.42';
const KEY_BYTES = 32;
const SALT_BYTES = 16;
const IV_BYTES = 16;
const MAX_ITERATIONS = 10_000_000;

const derive = promisify(pbkdf2);

/** A passphrase and what it costs to try one. */
export interface Protection {
  readonly passphrase: string;
  /** Rounds of PBKDF2. */
  readonly iterations: number;
}

/** Encrypts a private key; gives DER. */
export async function encryptPrivateKey(key: KeyObject, { passphrase, iterations }: Protection): Promise<Uint8Array> {
  const salt = randomBytes(SALT_BYTES);
  const iv = randomBytes(IV_BYTES);
  const secret = await derive(Buffer.from(passphrase, 'utf8'), salt, iterations, KEY_BYTES, 'sha256');
  const cipher = createCipheriv('aes-256-cbc', secret, iv);
  const plain = key.export({ type: 'pkcs8', format: 'der' });
  const encrypted = Buffer.concat([cipher.update(plain), cipher.final()]);
  plain.fill(0);
  secret.fill(0);
  const prf = sequence(objectIdentifier(HMAC_SHA256), nullValue());
  const kdf = sequence(objectIdentifier(PBKDF2), sequence(octetString(salt), integer(iterations), prf));
  const encryption = sequence(objectIdentifier(AES_256_CBC), octetString(iv));
  return sequence(sequence(objectIdentifier(PBES2), sequence(kdf, encryption)), octetString(encrypted));
}

/**
 * Decrypts what `encryptPrivateKey` made; undefined when the passphrase does not open it.
 *
 * @throws DerError when it is something else
 */
export async function decryptPrivateKey(der: Uint8Array, passphrase: string): Promise<KeyObject | undefined> {
  const { salt, iterations, iv, encrypted } = readEncrypted(der);
  const secret = await derive(Buffer.from(passphrase, 'utf8'), salt, iterations, KEY_BYTES, 'sha256');
  try {
    const decipher = createDecipheriv('aes-256-cbc', secret, iv);
    const plain = Buffer.concat([decipher.update(encrypted), decipher.final()]);
    const key = createPrivateKey({ key: plain, format: 'der', type: 'pkcs8' });
    plain.fill(0);
    return key;
  } catch {
    // Left out: OpenSSL's text may quote what it could not parse.
    return undefined;
  } finally {
    secret.fill(0);
  }
}

function readEncrypted(der: Uint8Array) {
  const outer = new DerCursor(der);
  outer.expect(TAG.sequence);
  const fields = outer.enter();
  fields.expect(TAG.sequence);
  const parameters = algorithm(fields, PBES2);
  fields.expect(TAG.octetString);
  const encrypted = fields.content();
  parameters.expect(TAG.sequence);
  const kdf = algorithm(parameters, PBKDF2);
  parameters.expect(TAG.sequence);
  const iv = octets(algorithm(parameters, AES_256_CBC, TAG.octetString), IV_BYTES);
  kdf.expect(TAG.octetString);
  const salt = kdf.content();
  kdf.expect(TAG.integer);
  const iterations = Number(decimalFromInteger(kdf.content()));
  if (!(iterations >= 1 && iterations <= MAX_ITERATIONS)) throw new DerError('too many iterations', kdf.start);
  kdf.expect(TAG.sequence);
  algorithm(kdf, HMAC_SHA256, TAG.null);
  return { salt, iterations, iv, encrypted };
}

/** The parameters of an AlgorithmIdentifier, which must be this one: a cursor inside of them, or at them. */
function algorithm(at: DerCursor, oid: string, parameters: number = TAG.sequence): DerCursor {
  const fields = at.enter();
  fields.expect(TAG.objectIdentifier);
  const found = dottedFromOid(fields.content());
  if (found !== oid) throw new DerError(`algorithm ${found} where ${oid} was expected`, fields.start);
  fields.expect(parameters);
  return parameters === TAG.sequence ? fields.enter() : fields;
}

function octets(at: DerCursor, length: number): Uint8Array {
  const content = at.content();
  if (content.length !== length) throw new DerError(`${content.length} octets where ${length} were expected`, at.start);
  return content;
}
