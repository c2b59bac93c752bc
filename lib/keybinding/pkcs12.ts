/**
 * Reads PKCS#12 files (RFC 7292) of any key type: node-forge opens the container, Node reads what is in it.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import forge from 'node-forge';
import { PeerError } from '../errors.ts';

/** A private key, its certificate and the other certificates of a container, as DER. */
export interface Pkcs12Content {
  readonly privateKey: KeyObject;
  /** All certificates in the order of the file. */
  readonly certificates: readonly Uint8Array[];
}

/**
 * Opens a PKCS#12 container.
 *
 * @throws PeerError ERR_WRONG_PASSPHRASE, ERR_IDENTITY_UNREADABLE
 */
export function readPkcs12(der: Uint8Array, passphrase: string): Pkcs12Content {
  const bags = openContainer(der, passphrase)
    .safeContents.flatMap((content) => content.safeBags)
    .map((bag) => ({ type: bag.type, value: bagValue(bag) }));
  const keyBag = bags.find(
    (bag) => bag.type === forge.pki.oids.keyBag || bag.type === forge.pki.oids.pkcs8ShroudedKeyBag,
  );
  if (keyBag?.value === undefined) {
    throw new PeerError('ERR_IDENTITY_UNREADABLE', 'The PKCS#12 file holds no private key');
  }
  const certificates = bags
    .filter((bag) => bag.type === forge.pki.oids.certBag)
    .flatMap((bag) => (bag.value === undefined ? [] : [bag.value]));
  return { privateKey: toKeyObject(keyBag.value), certificates };
}

function openContainer(der: Uint8Array, passphrase: string): forge.pkcs12.Pkcs12Pfx {
  const asn1 = parseContainer(der);
  try {
    return decrypt(asn1, passphrase);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : '';
    if (/mac could not be verified|invalid password/i.test(message)) throw wrongPassphrase(cause);
    // The MAC holds, so the passphrase is right: RFC 7292 takes it as BMPString for the MAC, PBES2 as UTF-8.
    return decryptAsUtf8(asn1, passphrase);
  }
}

function parseContainer(der: Uint8Array): forge.asn1.Asn1 {
  try {
    return forge.asn1.fromDer(forge.util.createBuffer(Buffer.from(der).toString('binary')));
  } catch (cause) {
    throw new PeerError('ERR_IDENTITY_UNREADABLE', 'The file is not a PKCS#12 container', { cause });
  }
}

function decrypt(asn1: forge.asn1.Asn1, passphrase: string): forge.pkcs12.Pkcs12Pfx {
  return forge.pkcs12.pkcs12FromAsn1(asn1, false, passphrase);
}

function decryptAsUtf8(asn1: forge.asn1.Asn1, passphrase: string): forge.pkcs12.Pkcs12Pfx {
  try {
    const withoutMac = { ...asn1, value: (asn1.value as forge.asn1.Asn1[]).slice(0, 2) };
    return decrypt(withoutMac, forge.util.encodeUtf8(passphrase));
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : '';
    if (/decrypt/i.test(message)) throw wrongPassphrase(cause);
    throw new PeerError('ERR_IDENTITY_UNREADABLE', `The PKCS#12 file cannot be read: ${message}`, { cause });
  }
}

function wrongPassphrase(cause: unknown): PeerError {
  return new PeerError('ERR_WRONG_PASSPHRASE', 'The passphrase does not open the PKCS#12 file', { cause });
}

/** DER of a key or certificate bag; node-forge keeps the ASN.1 of key types it does not know (EC, Ed25519). */
function bagValue(bag: forge.pkcs12.Bag): Uint8Array | undefined {
  const asn1 = bag.key
    ? forge.pki.privateKeyToAsn1(bag.key)
    : bag.cert
      ? forge.pki.certificateToAsn1(bag.cert)
      : bag.asn1;
  return asn1 ? Buffer.from(forge.asn1.toDer(asn1).getBytes(), 'binary') : undefined;
}

function toKeyObject(der: Uint8Array): KeyObject {
  const key = Buffer.from(der);
  for (const type of ['pkcs8', 'pkcs1', 'sec1'] as const) {
    try {
      return createPrivateKey({ key, format: 'der', type });
    } catch {
      // The next form may fit: node-forge hands RSA keys out as PKCS#1 and keeps others as PKCS#8.
    }
  }
  throw new PeerError('ERR_IDENTITY_UNREADABLE', 'The private key in the PKCS#12 file is of an unknown kind');
}
