/**
 * The nodes of this package as flows hold them, with values that work; a test says what it wants otherwise.
 *
 * Credentials stand inside the nodes, as the editor sends them at a deploy.
 */
import type { EjbcaConfig } from '../../lib/store/ejbca-connection.ts';
import type { PostgresConfig } from '../../lib/store/postgres-connection.ts';
import type { FlowNode } from './node-red.ts';
import type { Credential } from './test-pki.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Not the id itself: the runtime takes a value that equals the id of a config node for a reference to it. */
function nameOf(id: string): string {
  return `the ${id}`;
}

/** An authenticator with a pasted identity that trusts one CA. */
export function authenticatorNode(
  id: string,
  identity: Credential,
  trusted: Credential,
  fields: Fields = {},
): FlowNode {
  return {
    id,
    type: 'peer-remote-authenticator',
    name: nameOf(id),
    source: 'pasted',
    pkcs12File: '',
    certificateFile: '',
    keyFile: '',
    certificateEnv: '',
    keyEnv: '',
    tls: '',
    trust: [{ source: 'pasted', value: trusted.certificatePem, serialNumber: '' }],
    credentials: { certificate: identity.certificatePem, key: identity.keyPem },
    ...fields,
  };
}

/** A connector that uses the authenticator `ca`. */
export function connectorNode(id: string, url: string, fields: Fields = {}): FlowNode {
  return {
    id,
    type: 'peer-connector',
    name: nameOf(id),
    url,
    authenticator: 'ca',
    enabled: true,
    maxConnections: 4,
    connectTimeoutMs: 2_000,
    requestTimeoutMs: 10_000,
    minTlsVersion: 'TLSv1.3',
    ...fields,
  };
}

/** A role for the CA of the test PKI with all it needs to publish. */
export function roleNode(id: string, fields: Fields = {}): FlowNode {
  return {
    id,
    type: 'peer-role',
    name: nameOf(id),
    members: [{ match: 'commonName', value: 'ca-1', issuer: 'CN=Management CA,O=Test,C=SE' }],
    rules: ['/peerincoming', '/peerpublish/writecert', '/ca'].map((path) => ({ path, state: 'allow' })),
    ...fields,
  };
}

/** A store in one SQLite file. */
export function storeNode(id: string, file: string): FlowNode {
  return { id, type: 'peer-certificate-store', name: nameOf(id), kind: 'sqlite', file };
}

/** A store that reads the database of an EJBCA. */
export function ejbcaStoreNode(id: string, config: EjbcaConfig, fields: Fields = {}): FlowNode {
  const { dialect, host, port, database, user, password } = config;
  const name = nameOf(id);
  const server = { file: '', dialect, host, port, database, tls: '' };
  return {
    id,
    type: 'peer-certificate-store',
    name,
    kind: 'ejbca',
    ...server,
    credentials: { user, password },
    ...fields,
  };
}

/** A PostgreSQL database as the store. */
export function postgresStoreNode(id: string, config: PostgresConfig, fields: Fields = {}): FlowNode {
  const { host, port, database, user, password } = config;
  const server = { file: '', host, port, database, tls: '', credentials: { user, password } };
  return { id, type: 'peer-certificate-store', name: nameOf(id), kind: 'postgres', ...server, ...fields };
}

/** An endpoint on 127.0.0.1 with the authenticator `va`, the store `store` and the role `role`. */
export function endpointNode(id: string, port: number, fields: Fields = {}): FlowNode {
  return {
    id,
    type: 'peer-endpoint',
    name: nameOf(id),
    port,
    host: '127.0.0.1',
    authenticator: 'va',
    store: 'store',
    roles: ['role'],
    incoming: true,
    minTlsVersion: 'TLSv1.3',
    ...fields,
  };
}

/** A node on a tab, wired to others. */
export function flowNode(id: string, type: string, wires: readonly string[], fields: Fields = {}): FlowNode {
  return { id, z: 'tab', type, name: '', x: 100, y: 100, wires: [wires], ...fields };
}

/** An OCSP key binding in a file of its own, for one CA. */
export function keyBindingNode(id: string, tokenFile: string, ca: Credential, fields: Fields = {}): FlowNode {
  return {
    id,
    type: 'peer-ocsp-keybinding',
    name: nameOf(id),
    enabled: true,
    tokenFile,
    tokenName: '',
    algorithm: 'P-256',
    subjectDN: '',
    cas: [{ source: 'pasted', value: ca.certificatePem }],
    store: '',
    nonExisting: 'unknown',
    responseValidity: 0,
    maxAge: 0,
    responderId: 'key',
    includeSigningCertificate: true,
    includeChain: true,
    nonce: true,
    isDefaultResponder: false,
    credentials: { passphrase: 'secret' },
    ...fields,
  };
}

/** A certificate authority; which one, the fields say. */
export function authorityNode(id: string, fields: Fields): FlowNode {
  return {
    id,
    type: 'peer-certificate-authority',
    name: nameOf(id),
    kind: 'flow',
    pkcs12File: '',
    certificateFile: '',
    keyFile: '',
    subject: '',
    validityDays: 14,
    endEntityDays: 365,
    url: '',
    authenticator: '',
    caName: '',
    certificateProfile: '',
    endEntityProfile: '',
    username: '',
    timeout: 5,
    credentials: { passphrase: '', password: '' },
    ...fields,
  };
}
