/**
 * Config node: where certificate data is kept.
 */
import { isAbsolute, join } from 'node:path';
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { PeerError } from '../lib/errors.ts';
import type { CertificateStore } from '../lib/store/certificate-store.ts';
import { WorkerStore } from '../lib/store/worker-store.ts';

interface CertificateStoreDef extends NodeDef {
  readonly kind: 'sqlite';
  /** Absolute, or relative to the Node-RED user directory. */
  readonly file: string;
}

/** What other nodes use of a store node. */
export interface CertificateStoreNode extends Node {
  /** @throws PeerError ERR_INVALID_CONFIG while the node is not usable */
  store(): CertificateStore;
}

export default function (RED: NodeAPI): void {
  function PeerCertificateStore(this: CertificateStoreNode, config: CertificateStoreDef): void {
    RED.nodes.createNode(this, config);
    const store = config.file.trim() === '' ? undefined : openStore(RED, config.file.trim());
    if (store === undefined) this.error('The certificate store has no file');
    Object.assign(this, {
      store: () => {
        if (store === undefined) throw new PeerError('ERR_INVALID_CONFIG', 'The certificate store has no file');
        return store;
      },
    });
    // Named at deploy, not at the first certificate that arrives.
    store?.count().catch((error: Error) => this.error(error.message));
    this.on('close', (_removed: boolean, done: () => void) => {
      if (store === undefined) return done();
      store.close().then(done, done);
    });
  }

  RED.nodes.registerType('peer-certificate-store', PeerCertificateStore);
}

function openStore(RED: NodeAPI, file: string): CertificateStore {
  const userDir = RED.settings.userDir ?? process.cwd();
  return new WorkerStore({ kind: 'sqlite', file: isAbsolute(file) ? file : join(userDir, file) });
}
