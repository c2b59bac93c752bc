/**
 * The other process of the publish benchmark: a real Node-RED with an endpoint and a certificate store.
 */
import { freePort } from '../test/helpers/node-red.ts';
import { authenticatorNode, endpointNode, flowNode, roleNode, storeNode } from '../test/helpers/peer-flow.ts';
import type { Credential } from '../test/helpers/test-pki.ts';
import { startFlow } from './node-red.ts';
import { watchLoop } from './statistics.ts';

type Pem = Pick<Credential, 'certificatePem' | 'keyPem'>;
interface Settings {
  readonly server: Pem;
  readonly trusted: Pem;
  readonly file: string;
}

const { server, trusted, file }: Settings = JSON.parse(process.env['BENCH_VA'] ?? '{}');
const port = await freePort();
const getNode = await startFlow([
  authenticatorNode('va', server as Credential, trusted as Credential),
  storeNode('store', file),
  roleNode('role'),
  endpointNode('endpoint', port),
  flowNode('incoming', 'peer-incoming-auth', [], { endpoint: 'endpoint' }),
]);
const endpoint = getNode('endpoint') as unknown as { readonly port: () => number | undefined };
for (let tries = 0; endpoint.port() === undefined; tries++) {
  if (tries > 250) throw new Error('The endpoint does not listen');
  await new Promise((resolve) => setTimeout(resolve, 20));
}

const loop = watchLoop();
process.on('message', () => process.send?.({ loopDelayMaxMs: loop.maxMs() }));
process.send?.({ port });
