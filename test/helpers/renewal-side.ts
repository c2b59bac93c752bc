/**
 * The CA side of a renewal in a process of its own, to be killed at a named step, where it says so and waits.
 */

import { LocalAuthority } from '../../lib/authority/local-authority.ts';
import { RemoteAuthenticator } from '../../lib/keybinding/remote-authenticator.ts';
import { ConnectionPool } from '../../lib/pool/connection-pool.ts';
import { PeerClient } from '../../lib/pool/peer-client.ts';
import { renewKeyBindings } from '../../lib/renewal/renew-key-bindings.ts';
import { readPem } from '../../lib/x509/pem.ts';

interface Settings {
  readonly url: string;
  readonly certificate: string;
  readonly key: string;
  readonly trusted: string;
  readonly ca: string;
  readonly caKey: string;
  readonly stopAt: string;
}

const { url, certificate, key, trusted, ca, caKey, stopAt }: Settings = JSON.parse(process.argv[2] ?? '{}');
const trust = readPem(trusted).map((caDer) => ({ caDer }));
const authenticator = new RemoteAuthenticator({ kind: 'pem', certificate, key, passphrase: '' }, () => trust);
const client = new PeerClient(new ConnectionPool({ url: new URL(url) }, authenticator));
const authority = new LocalAuthority({
  source: { kind: 'pem', certificate: ca, key: caKey, passphrase: '' },
  subjectTemplate: '{{{subjectDN}}}',
  validityMs: 86_400_000,
  endEntityValidityMs: 365 * 86_400_000,
});
const stop = (step: string): void => {
  if (step !== stopAt) return;
  process.send?.({ step });
  // Nothing more happens here until the end.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30_000);
};
await renewKeyBindings(
  { client, peer: 'VA', authority, newKeyPair: true, onProgress: ({ step }) => stop(step) },
  { names: ['ocsp 1'] },
  new AbortController().signal,
);
