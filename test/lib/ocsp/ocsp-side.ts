/**
 * A VA for tests: a CA, its OCSP signers, a SQLite store, a responder and an HTTP server on port 0.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OcspBinding, OcspProperties, OcspSigner } from '../../../lib/keybinding/ocsp-signer.ts';
import { OcspHandler } from '../../../lib/ocsp/ocsp-http.ts';
import { type OcspEvent, OcspResponder, type OcspResponderOptions } from '../../../lib/ocsp/ocsp-responder.ts';
import type { CertificateData } from '../../../lib/store/certificate-data.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { extension } from '../../../lib/x509/extension-writer.ts';
import { softwareKey } from '../../../lib/x509/signing-key.ts';
import { type Credential, issue, issueRootCa, KEY_MAKERS } from '../../helpers/test-pki.ts';
import { stream } from '../store/rows.ts';

/** The CA of the rows in `store/rows.ts`. */
export const CA_NAME = 'CN=Issuing CA,O=Test,C=SE';

export const OCSP_KEYS = {
  'P-256': KEY_MAKERS.ec,
  'P-384': () => generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey,
  'RSA 2048': KEY_MAKERS.rsa,
  'RSA 4096': () => generateKeyPairSync('rsa', { modulusLength: 4096 }).privateKey,
  Ed25519: KEY_MAKERS.ed25519,
} as const;

const NO_CHECK = extension('1.3.6.1.5.5.7.48.1.5', false, Uint8Array.of(5, 0));

/** A certificate that may sign OCSP. */
export function issueSigner(ca: Credential, makeKey?: () => KeyObject, change = {}): Credential {
  return issue(
    ca,
    {
      subjectDN: 'CN=OCSP signer,O=Test,C=SE',
      keyUsage: ['digitalSignature'],
      extendedKeyUsage: ['OCSPSigning'],
      extensions: [NO_CHECK],
      ...change,
    },
    makeKey,
  );
}

let generation = 0;

export function toSigner(credential: Credential, chain: readonly Uint8Array[] = []): OcspSigner {
  return {
    generation: ++generation,
    certificate: credential.certificate,
    chain,
    key: softwareKey(credential.privateKey),
  };
}

const PROPERTIES: OcspProperties = {
  nonExisting: 'unknown',
  responseValidityMs: 8 * 3_600_000,
  maxAgeMs: 3_600_000,
  responderId: 'key',
  includeSigningCertificate: true,
  includeChain: false,
  nonce: true,
  isDefaultResponder: false,
};

/** A binding whose parts a test may replace. */
export class TestBinding implements OcspBinding {
  readonly name: string;
  properties: OcspProperties;
  current: OcspSigner | undefined;
  served: readonly Uint8Array[];

  constructor(cas: readonly Credential[], signer: Credential, change: Partial<OcspProperties> = {}) {
    this.name = `binding of ${cas.length} CA`;
    this.properties = { ...PROPERTIES, ...change };
    this.current = toSigner(signer);
    this.served = cas.map(({ certificate }) => certificate);
  }

  signer(): OcspSigner | undefined {
    return this.current;
  }

  cas(): readonly Uint8Array[] {
    return this.served;
  }
}

/** Everything, opened; `close` when done. */
export async function openOcspSide(change: Partial<OcspProperties> = {}, makeKey?: () => KeyObject) {
  const folder = mkdtempSync(join(tmpdir(), 'ocsp-'));
  const ca = issueRootCa(CA_NAME);
  const signer = issueSigner(ca, makeKey);
  const binding = new TestBinding([ca], signer, change);
  const bindings: OcspBinding[] = [binding];
  const file = join(folder, 'store.sqlite');
  const store = new WorkerStore({ kind: 'sqlite', file });
  const events: OcspEvent[] = [];
  const time = { now: Date.now() };
  const newResponder = (options: Partial<OcspResponderOptions> = {}): OcspResponder =>
    new OcspResponder({
      store,
      bindings: () => bindings,
      clock: () => time.now,
      onEvent: (event) => events.push(event),
      ...options,
    });
  const responder = newResponder();
  const handler = new OcspHandler(responder, { bodyTimeoutMs: 300, clock: () => time.now });
  const server = createServer((request, response) => handler.handle(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    folder,
    ca,
    signer,
    binding,
    bindings,
    file,
    store,
    responder,
    newResponder,
    events,
    time,
    origin,
    url: `${origin}/ocsp`,
    publish: (...rows: readonly CertificateData[]) => store.writeRows([stream(...rows)], ALL_CAS),
    ask: async (request: Uint8Array): Promise<Uint8Array> => (await responder.answer(request)).der,
    close: async (): Promise<void> => {
      server.closeAllConnections();
      server.close();
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** What `openOcspSide` gives. */
export type OcspSide = Awaited<ReturnType<typeof openOcspSide>>;
