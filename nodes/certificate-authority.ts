/**
 * Config node: who issues certificates in a renewal.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import type { CertificateAuthority } from '../lib/authority/certificate-authority.ts';
import { EjbcaAuthority, parseEjbcaUrl } from '../lib/authority/ejbca-authority.ts';
import { FlowAuthority, type FlowOrder } from '../lib/authority/flow-authority.ts';
import { LocalAuthority } from '../lib/authority/local-authority.ts';
import { PeerError } from '../lib/errors.ts';
import type { IdentitySource } from '../lib/keybinding/identity.ts';
import type { RemoteAuthenticator } from '../lib/keybinding/remote-authenticator.ts';
import { ConnectionPool } from '../lib/pool/connection-pool.ts';
import type { RemoteAuthenticatorNode } from './remote-authenticator.ts';
import { configNode, numberField } from './shared/node-config.ts';

interface CertificateAuthorityDef extends NodeDef {
  readonly kind: 'pkcs12-file' | 'pem-files' | 'ejbca' | 'flow';
  readonly pkcs12File: string;
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly subject: string;
  readonly validityDays: number | string;
  /** Flows from before there was a choice have none: 365. */
  readonly endEntityDays?: number | string;
  readonly url: string;
  readonly authenticator: string;
  readonly caName: string;
  readonly certificateProfile: string;
  readonly endEntityProfile: string;
  readonly username: string;
  /** Seconds that an EJBCA or the flow may take. */
  readonly timeout: number | string;
}

interface Credentials {
  readonly passphrase?: string;
  readonly password?: string;
}

/** What a renewal uses of the node. */
export interface CertificateAuthorityNode extends Node<Credentials> {
  /**
   * @param send where orders go when the flow issues
   * @throws PeerError ERR_INVALID_CONFIG and what reading an identity throws
   */
  authority(send: (order: FlowOrder) => void): CertificateAuthority;
}

interface Connection {
  readonly pool: ConnectionPool;
  readonly authenticator: RemoteAuthenticator;
}

const DAY_MS = 86_400_000;

export default function (RED: NodeAPI): void {
  function PeerCertificateAuthority(this: CertificateAuthorityNode, config: CertificateAuthorityDef): void {
    RED.nodes.createNode(this, config);
    const { passphrase = '', password = '' } = this.credentials ?? {};
    let connection: Connection | undefined;
    Object.assign(this, {
      authority: (send: (order: FlowOrder) => void): CertificateAuthority => {
        if (config.kind === 'flow') return new FlowAuthority({ timeoutMs: timeoutOf(config), send });
        if (config.kind !== 'ejbca') return localAuthority(config, passphrase);
        connection ??= connect(RED, config);
        return new EjbcaAuthority(connection.pool, { ...namesOf(config), password });
      },
    });
    this.on('close', (_removed: boolean, done: () => void) => {
      connection?.authenticator.close();
      (connection?.pool.close() ?? Promise.resolve()).then(done, done);
    });
  }

  RED.nodes.registerType<CertificateAuthorityNode, CertificateAuthorityDef, object, Credentials>(
    'peer-certificate-authority',
    PeerCertificateAuthority,
    { credentials: { passphrase: { type: 'password' }, password: { type: 'password' } } as never },
  );
}

function localAuthority(config: CertificateAuthorityDef, passphrase: string): LocalAuthority {
  return new LocalAuthority({
    source: sourceOf(config, passphrase),
    subjectTemplate: config.subject.trim() || '{{{subjectDN}}}',
    validityMs: numberField(config.validityDays, 'Validity', { min: 1, max: 3_650 }) * DAY_MS,
    endEntityValidityMs: numberField(config.endEntityDays ?? 365, 'End entities', { min: 1, max: 3_650 }) * DAY_MS,
  });
}

function sourceOf({ kind, pkcs12File, certificateFile, keyFile }: CertificateAuthorityDef, passphrase: string) {
  const sources: Readonly<Record<string, IdentitySource>> = {
    'pkcs12-file': { kind: 'pkcs12-file', file: pkcs12File, passphrase },
    'pem-files': { kind: 'pem-files', certificateFile, keyFile, passphrase },
  };
  const source = sources[kind];
  if (source === undefined) throw new PeerError('ERR_INVALID_CONFIG', `"${kind}" is not a kind of CA`);
  return source;
}

function connect(RED: NodeAPI, config: CertificateAuthorityDef): Connection {
  const options = { url: parseEjbcaUrl(config.url), requestTimeoutMs: timeoutOf(config) };
  const authenticator = configNode<RemoteAuthenticatorNode>(
    RED,
    config.authenticator,
    'peer-remote-authenticator',
  ).open();
  const pool = new ConnectionPool(options, authenticator);
  // A renewed client certificate needs no reset by hand: renewals are rare.
  authenticator.onChange(() => pool.reset());
  return { pool, authenticator };
}

function namesOf({ caName, certificateProfile, endEntityProfile, username }: CertificateAuthorityDef) {
  return { certificateAuthority: caName, certificateProfile, endEntityProfile, username };
}

function timeoutOf({ timeout }: CertificateAuthorityDef): number {
  return numberField(timeout, 'Time limit', { min: 1, max: 604_800 }) * 1_000;
}
