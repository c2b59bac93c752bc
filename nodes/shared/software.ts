/**
 * Name and version of this package, as told to peers.
 */
import { createRequire } from 'node:module';

const { name, version } = createRequire(import.meta.url)('../../../package.json') as { name: string; version: string };

/** E.g. `@pki-flows/node-red-ejbca-peers/0.1.0`. */
export const SOFTWARE = `${name}/${version}`;
