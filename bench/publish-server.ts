/**
 * The other process of the publish benchmark: a real Node-RED with an endpoint and a certificate store.
 */

import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { authenticatorNode, startFlow } from './node-red.ts';
import { watchLoop } from './statistics.ts';

const { certificate, key, ca, file } = JSON.parse(process.env['BENCH_VA'] ?? '{}') as Record<string, string>;
const port = await freePort();
const member = { match: 'commonName', value: 'ca-1', issuer: 'CN=Management CA,O=Test,C=SE' };
const rules = ['/peerincoming', '/peerpublish', '/ca'].map((path) => ({ path, state: 'allow' }));
await startFlow(
  [
    authenticatorNode(ca ?? ''),
    { id: 'store', type: 'peer-certificate-store', name: 'VA', kind: 'sqlite', file },
    { id: 'role', type: 'peer-role', name: 'CA', members: [member], rules },
    {
      id: 'endpoint',
      type: 'peer-endpoint',
      name: 'VA',
      port,
      host: '127.0.0.1',
      authenticator: 'authenticator',
      store: 'store',
      roles: ['role'],
      incoming: true,
      minTlsVersion: 'TLSv1.3',
    },
    { id: 'incoming', z: 'tab', type: 'peer-incoming-auth', name: '', endpoint: 'endpoint', wires: [[]] },
  ],
  { authenticator: { certificate, key } },
);
await new Promise((resolve) => setTimeout(resolve, 500));

const loop = watchLoop();
process.on('message', () => process.send?.({ loopDelayMaxMs: loop.maxMs() }));
process.send?.({ port });

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port: free } = server.address() as AddressInfo;
      server.close(() => resolve(free));
    });
  });
}
