/**
 * Config node: the TLS identity of one side and the CAs it trusts.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { PeerError } from '../lib/errors.ts';
import type { IdentitySource } from '../lib/keybinding/identity.ts';
import { RemoteAuthenticator, type TrustEntry } from '../lib/keybinding/remote-authenticator.ts';
import { readPem } from '../lib/x509/pem.ts';
import { parseSerialNumber } from '../lib/x509/serial-number.ts';
import { type CaField, readCas } from './shared/ca-list.ts';
import { configNode } from './shared/node-config.ts';
import type { TlsConfigNode } from './shared/tls-config.ts';

interface TrustField extends CaField {
  readonly serialNumber: string;
}

interface RemoteAuthenticatorDef extends NodeDef {
  readonly source: 'pkcs12-file' | 'pem-files' | 'environment' | 'pasted' | 'tls-config';
  readonly pkcs12File: string;
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly certificateEnv: string;
  readonly keyEnv: string;
  readonly tls: string;
  readonly trust: readonly TrustField[];
}

interface Credentials {
  readonly passphrase?: string;
  readonly certificate?: string;
  readonly key?: string;
}

/** The runtime side of the node. */
export interface RemoteAuthenticatorNode extends Node<Credentials> {
  /** @throws PeerError when the configuration is not usable */
  readonly open: () => RemoteAuthenticator;
}

export default function (RED: NodeAPI): void {
  function PeerRemoteAuthenticator(this: RemoteAuthenticatorNode, config: RemoteAuthenticatorDef): void {
    RED.nodes.createNode(this, config);
    const open = (): RemoteAuthenticator => {
      const trust = config.trust ?? [];
      const files = trust.filter((entry) => entry.source === 'file').map((entry) => entry.value);
      const source = identitySource(RED, config, this.credentials ?? {});
      return new RemoteAuthenticator(source.identity, () => [...trust.flatMap(readTrust), ...source.trust], files);
    };
    Object.assign(this, { open });
  }

  RED.nodes.registerType<RemoteAuthenticatorNode, RemoteAuthenticatorDef, object, Credentials>(
    'peer-remote-authenticator',
    PeerRemoteAuthenticator,
    {
      credentials: {
        passphrase: { type: 'password' },
        certificate: { type: 'password' },
        key: { type: 'password' },
      } as never,
    },
  );
}

interface Sources {
  readonly identity: IdentitySource;
  /** What a tls-config node trusts. */
  readonly trust: readonly TrustEntry[];
}

function identitySource(RED: NodeAPI, config: RemoteAuthenticatorDef, credentials: Credentials): Sources {
  const passphrase = credentials.passphrase ?? '';
  const identity = (source: IdentitySource): Sources => ({ identity: source, trust: [] });
  switch (config.source) {
    case 'pkcs12-file':
      return identity({ kind: 'pkcs12-file', file: config.pkcs12File, passphrase });
    case 'pem-files':
      return identity({
        kind: 'pem-files',
        certificateFile: config.certificateFile,
        keyFile: config.keyFile,
        passphrase,
      });
    case 'environment': {
      const certificate = environment(config.certificateEnv);
      return identity({ kind: 'pem', certificate, key: environment(config.keyEnv), passphrase });
    }
    case 'pasted':
      return identity({
        kind: 'pem',
        certificate: credentials.certificate ?? '',
        key: credentials.key ?? '',
        passphrase,
      });
    case 'tls-config':
      return fromTlsConfig(configNode<TlsConfigNode>(RED, config.tls, 'tls-config'));
    default:
      throw new PeerError('ERR_INVALID_CONFIG', `"${config.source}" is not a source of an identity`);
  }
}

function environment(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '') {
    throw new PeerError('ERR_IDENTITY_UNREADABLE', `The environment variable "${name}" is not set`);
  }
  return value;
}

/** The core node reads its files once, at deploy; where it could not, it hands out nothing and says so only in `valid`. */
function fromTlsConfig(node: TlsConfigNode): Sources {
  if (!node.valid) throw new PeerError('ERR_IDENTITY_UNREADABLE', 'The tls-config node could not read its files');
  const { cert, key, pfx, ca, passphrase } = node.addTLSOptions({});
  const text = (value: unknown): string => (value === undefined ? '' : String(value));
  const trust = ca === undefined ? [] : readPem(text(ca)).map((caDer) => ({ caDer }));
  const secret = text(passphrase);
  if (pfx instanceof Uint8Array) return { identity: { kind: 'pkcs12', der: pfx, passphrase: secret }, trust };
  return { identity: { kind: 'pem', certificate: text(cert), key: text(key), passphrase: secret }, trust };
}

function readTrust(field: TrustField): readonly TrustEntry[] {
  const cas = readCas(field);
  const text = field.serialNumber?.trim() ?? '';
  if (text === '') return cas.map((caDer) => ({ caDer }));
  const serial = parseSerialNumber(text);
  if (serial === undefined) throw new PeerError('ERR_INVALID_CONFIG', `"${text}" is not a serial number`);
  return cas.map((caDer) => ({ caDer, serialNumber: serial }));
}
