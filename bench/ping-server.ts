/**
 * The other process of the ping benchmark: an endpoint, a bare node:https handler and a raw TLS echo,
 * all with the same certificates.
 */
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { PeerServer } from '../lib/endpoint/peer-server.ts';
import { RemoteAuthenticator } from '../lib/keybinding/remote-authenticator.ts';
import { readPem } from '../lib/x509/pem.ts';
import { caRole } from '../test/helpers/two-peers.ts';
import { watchLoop } from './statistics.ts';

const { certificate, key, ca } = JSON.parse(process.env['BENCH_TLS'] ?? '{}') as Record<
  'certificate' | 'key' | 'ca',
  string
>;
const tls = { cert: certificate, key, ca, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' } as const;

const authenticator = new RemoteAuthenticator({ kind: 'pem', certificate, key, passphrase: '' }, () =>
  readPem(ca).map((caDer) => ({ caDer })),
);
const endpoint = new PeerServer({ port: 0, host: '127.0.0.1', authenticator, roles: [caRole()], software: 'bench' });
await endpoint.start();

const https = createHttpsServer({ ...tls, keepAliveTimeout: 75_000 }, (request, response) => {
  request
    .on('data', () => undefined)
    .on('end', () => {
      const body = JSON.stringify({ serverTime: new Date().toISOString() });
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length }).end(body);
    });
});
const echo = createTlsServer(tls, (socket) => {
  socket.setNoDelay(true);
  socket.on('data', (data) => socket.write(data)).on('error', () => undefined);
});

const loop = watchLoop();
process.on('message', () => process.send?.({ loopDelayMaxMs: loop.maxMs() }));
process.send?.({ endpoint: endpoint.port, https: await listen(https), echo: await listen(echo) });

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)));
}
