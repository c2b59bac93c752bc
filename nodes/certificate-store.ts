/**
 * Config node: where certificate data is kept, or where it is read from.
 */
import { isAbsolute, join } from 'node:path';
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { PeerError, toPeerError } from '../lib/errors.ts';
import type { CertificateStore } from '../lib/store/certificate-store.ts';
import type { StoreConfig } from '../lib/store/store-engine.ts';
import { WorkerStore } from '../lib/store/worker-store.ts';
import { configNode, numberField } from './shared/node-config.ts';
import { type TlsConfigNode, tlsMaterialOf } from './shared/tls-config.ts';

interface CertificateStoreDef extends NodeDef {
  readonly kind: StoreConfig['kind'];
  /** SQLite: absolute, or relative to the Node-RED user directory. */
  readonly file: string;
  /** What makes the database of EJBCA. */
  readonly dialect?: 'mysql' | 'postgres';
  readonly host?: string;
  readonly port?: number | string;
  readonly database?: string;
  /** A core tls-config node; empty = unencrypted. */
  readonly tls?: string;
}

interface Credentials {
  readonly user?: string;
  readonly password?: string;
}

/** What other nodes use of a store node. */
export interface CertificateStoreNode extends Node {
  /** @throws PeerError ERR_INVALID_CONFIG while the node is not usable */
  store(): CertificateStore;
}

export default function (RED: NodeAPI): void {
  function PeerCertificateStore(this: CertificateStoreNode & Node<Credentials>, config: CertificateStoreDef): void {
    RED.nodes.createNode(this, config);
    const opened = attempt(() => new WorkerStore(storeConfig(RED, config, this.credentials ?? {})));
    Object.assign(this, {
      store: () => {
        if (opened instanceof PeerError) throw opened;
        return opened;
      },
    });
    if (opened instanceof PeerError) return void this.error(opened.message);
    // Named at deploy, not at the first certificate that arrives.
    opened.probe().catch((error: Error) => this.error(error.message));
    this.on('close', (_removed: boolean, done: () => void) => void opened.close().then(done, done));
  }

  RED.nodes.registerType<CertificateStoreNode, CertificateStoreDef, object, Credentials>(
    'peer-certificate-store',
    PeerCertificateStore,
    { credentials: { user: { type: 'text' }, password: { type: 'password' } } },
  );
}

function attempt(open: () => WorkerStore): WorkerStore | PeerError {
  try {
    return open();
  } catch (error) {
    return toPeerError(error);
  }
}

function storeConfig(RED: NodeAPI, config: CertificateStoreDef, credentials: Credentials): StoreConfig {
  switch (config.kind) {
    case 'sqlite':
      return { kind: 'sqlite', file: fileOf(RED, config.file) };
    case 'postgres':
      return { kind: 'postgres', ...serverOf(RED, config, credentials) };
    case 'ejbca':
      return { kind: 'ejbca', dialect: config.dialect ?? 'mysql', ...serverOf(RED, config, credentials) };
    default:
      throw new PeerError('ERR_INVALID_CONFIG', `"${config.kind}" is not a kind of certificate store`);
  }
}

function fileOf(RED: NodeAPI, value: string): string {
  const file = value.trim();
  if (file === '') throw new PeerError('ERR_INVALID_CONFIG', 'The certificate store has no file');
  return isAbsolute(file) ? file : join(RED.settings.userDir ?? process.cwd(), file);
}

function serverOf(RED: NodeAPI, config: CertificateStoreDef, { user, password }: Credentials) {
  const text = (value: string | undefined, what: string): string => {
    const given = (value ?? '').trim();
    if (given === '') throw new PeerError('ERR_INVALID_CONFIG', `The certificate store has no ${what}`);
    return given;
  };
  const tls = config.tls ? tlsMaterialOf(configNode<TlsConfigNode>(RED, config.tls, 'tls-config')) : undefined;
  return {
    host: text(config.host, 'host'),
    port: numberField(config.port, 'Port', { min: 1, max: 65_535 }),
    database: text(config.database, 'database'),
    user: text(user, 'user'),
    password: password ?? '',
    ...(tls !== undefined && { tls }),
  };
}
