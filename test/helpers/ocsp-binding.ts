/**
 * An OCSP key binding in a folder, the CA that it serves, and certificates for it, good and wrong ones.
 */
import { join } from 'node:path';
import type { CryptoToken } from '../../lib/keybinding/crypto-token.ts';
import { FileToken } from '../../lib/keybinding/file-token.ts';
import { KeyBinding, type KeyBindingOptions } from '../../lib/keybinding/key-binding.ts';
import { BindingStateFile } from '../../lib/keybinding/key-binding-state.ts';
import type { OcspProperties } from '../../lib/keybinding/ocsp-signer.ts';
import { Pkcs11Token, type Pkcs11TokenOptions } from '../../lib/keybinding/pkcs11-token.ts';
import { type CertificateTemplate, issueCertificate } from '../../lib/x509/certificate-builder.ts';
import { readCertificateRequest } from '../../lib/x509/certificate-request.ts';
import { type Credential, daysFromNow } from './test-pki.ts';

/** Key derivation that takes no time: for tests only. */
export const QUICK = { iterations: 10, macIterations: 10 } as const;

/** EJBCA's defaults. */
export const PROPERTIES: OcspProperties = {
  nonExisting: 'unknown',
  responseValidityMs: 0,
  maxAgeMs: 0,
  responderId: 'key',
  includeSigningCertificate: true,
  includeChain: true,
  nonce: true,
  isDefaultResponder: false,
};

const NO_CHECK = Buffer.from('300f06092b0601050507300105040205' + '00', 'hex');

/** Opens a token in a folder, or the device where there is one. */
export function openToken(folder: string, name: string, device?: Pkcs11TokenOptions): Promise<CryptoToken> {
  if (device !== undefined) return Pkcs11Token.open(device);
  return FileToken.open({ name: 'token 1', file: join(folder, `${name}.p12`), passphrase: 'secret', ...QUICK });
}

/** Opens the binding of a folder; closing it leaves its files, so it can be opened again. */
export async function openBinding(
  folder: string,
  cas: readonly Credential[],
  options: Partial<KeyBindingOptions> & { readonly device?: Pkcs11TokenOptions | undefined } = {},
) {
  const name = options.name ?? 'ocsp 1';
  const token = await openToken(folder, name, options.device);
  const state = new BindingStateFile(join(folder, `${name}.json`));
  return KeyBinding.open(
    {
      name,
      subjectDN: `CN=${name},O=Test,C=SE`,
      algorithm: 'P-256',
      enabled: true,
      properties: PROPERTIES,
      cas: cas.map(({ certificate }) => certificate),
      ...options,
    },
    token,
    state,
  );
}

/** Signs a request as a CA does that issues OCSP signers; a test says what it wants otherwise. */
export function certify(ca: Credential, request: Uint8Array, template: Partial<CertificateTemplate> = {}): Uint8Array {
  const { subjectDN, publicKey } = readCertificateRequest(request);
  return issueCertificate({
    issuer: ca,
    subjectDN,
    publicKey,
    notBefore: daysFromNow(-0.01),
    notAfter: daysFromNow(7),
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: ['OCSPSigning'],
    extensions: [NO_CHECK],
    ...template,
  });
}
