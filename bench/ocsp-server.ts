/**
 * The VA of the OCSP benchmark, in a process of its own: an endpoint and a responder over one store file.
 */
import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PeerServer } from '../lib/endpoint/peer-server.ts';
import { RemoteAuthenticator } from '../lib/keybinding/remote-authenticator.ts';
import { OcspHandler } from '../lib/ocsp/ocsp-http.ts';
import { OcspResponder } from '../lib/ocsp/ocsp-responder.ts';
import { WorkerStore } from '../lib/store/worker-store.ts';
import { readPem } from '../lib/x509/pem.ts';
import { softwareKey } from '../lib/x509/signing-key.ts';
import { caRole } from '../test/helpers/two-peers.ts';
import { watchLoop } from './statistics.ts';

const settings = JSON.parse(process.env['BENCH_VA'] ?? '{}') as Record<
  'certificate' | 'key' | 'managementCa' | 'file' | 'ca' | 'signer' | 'signerKey',
  string
>;
const der = (pem: string): Uint8Array => readPem(pem)[0] as Uint8Array;
const { certificate, key, managementCa, file } = settings;
const trust = readPem(managementCa).map((caDer) => ({ caDer }));
const authenticator = new RemoteAuthenticator({ kind: 'pem', certificate, key, passphrase: '' }, () => trust);
const store = new WorkerStore({ kind: 'sqlite', file });
const peers = new PeerServer({
  port: 0,
  host: '127.0.0.1',
  authenticator,
  store,
  roles: [caRole()],
  software: 'bench',
});
await peers.start();

const signer = {
  generation: 1,
  certificate: der(settings.signer),
  chain: [],
  key: softwareKey(createPrivateKey(settings.signerKey)),
};
const cas = [der(settings.ca)];
const binding = {
  name: 'bench',
  properties: {
    nonExisting: 'unknown',
    responseValidityMs: 8 * 3_600_000,
    maxAgeMs: 3_600_000,
    responderId: 'key',
    includeSigningCertificate: true,
    includeChain: false,
    nonce: true,
    isDefaultResponder: false,
  },
  signer: () => signer,
  cas: () => cas,
} as const;
const bindings = [binding];

async function serve(maxCacheBytes?: number): Promise<number> {
  const responder = new OcspResponder({
    store,
    bindings: () => bindings,
    ...(maxCacheBytes === 0 && { maxCacheBytes }),
  });
  const handler = new OcspHandler(responder);
  const server = createServer((request, response) => handler.handle(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

const ports = { peers: peers.port, cached: await serve(), uncached: await serve(0) };
let loop = watchLoop();
process.on('message', () => {
  process.send?.({ loopDelayMaxMs: loop.maxMs() });
  loop = watchLoop();
});
process.send?.(ports);
