/**
 * THE table of operations: what a peer can be asked, how, and which access rules it needs.
 *
 * `docs/protocol.md` is tested against it; an operation without rules does not compile.
 */

/** Where the protocol lives at a peer: the path EJBCA uses for its own. */
export const BASE_PATH = '/ejbca/peer/v1';

/** Version of the protocol this package speaks. Raised only when an old peer could not understand. */
export const PROTOCOL_VERSION = 1;

/** Media type of a stream of rows: a CBOR sequence (RFC 8742). */
export const ROWS_TYPE = 'application/cbor-seq';
export const JSON_TYPE = 'application/json';
/** Media type of one CBOR item (RFC 8949). */
export const CBOR_TYPE = 'application/cbor';
/** Media type of a CRL, DER (RFC 2585). Its body goes to a file, because it may be too large for memory. */
export const CRL_TYPE = 'application/pkix-crl';
/** Request header with the index of the CRL partition, decimal; absent = 0, the main CRL. */
export const CRL_PARTITION_HEADER = 'crl-partition-index';
/** Media type of an error (RFC 9457). */
export const PROBLEM_TYPE = 'application/problem+json';

/** One row of the table. */
export interface Operation {
  readonly method: 'GET' | 'POST';
  /** Below BASE_PATH. */
  readonly path: string;
  /** All of these are needed, on every request. */
  readonly rules: readonly [string, ...string[]];
  /** A rule, or several, checked for each certificate or key binding that is meant; undefined = none. */
  readonly recordRule?: string | readonly string[];
  /** Media type of the request; undefined = no body. */
  readonly requestType?: string;
  readonly maxBodyBytes: number;
  /** Media type of the answer. */
  readonly answerType: string;
}

const MEGABYTE = 1024 * 1024;

/** Every operation there is. */
export const OPERATIONS = {
  capabilities: {
    method: 'GET',
    path: '/capabilities',
    rules: ['/peerincoming'],
    maxBodyBytes: 0,
    answerType: JSON_TYPE,
  },
  ping: {
    method: 'POST',
    path: '/ping',
    rules: ['/peerincoming'],
    requestType: JSON_TYPE,
    maxBodyBytes: 4096,
    answerType: JSON_TYPE,
  },
  publishCertificates: {
    method: 'POST',
    path: '/certificates',
    rules: ['/peerincoming', '/peerpublish/writecert'],
    recordRule: '/ca/[name]',
    requestType: ROWS_TYPE,
    maxBodyBytes: 8 * MEGABYTE,
    answerType: JSON_TYPE,
  },
  compareRanges: {
    method: 'POST',
    path: '/certificates/compare-ranges',
    rules: ['/peerincoming', '/peerpublish/readcert'],
    recordRule: '/ca/[name]',
    requestType: CBOR_TYPE,
    maxBodyBytes: MEGABYTE,
    answerType: CBOR_TYPE,
  },
  compareRows: {
    method: 'POST',
    path: '/certificates/compare-rows',
    rules: ['/peerincoming', '/peerpublish/readcert'],
    recordRule: '/ca/[name]',
    requestType: CBOR_TYPE,
    maxBodyBytes: 4 * MEGABYTE,
    answerType: CBOR_TYPE,
  },
  publishCrl: {
    method: 'POST',
    path: '/crls',
    rules: ['/peerincoming', '/peerpublish/writecrl'],
    recordRule: '/ca/[name]',
    requestType: CRL_TYPE,
    maxBodyBytes: 512 * MEGABYTE,
    answerType: JSON_TYPE,
  },
  raNext: {
    method: 'POST',
    path: '/ra/next',
    rules: ['/peerincoming', '/ra_slave/manage'],
    requestType: CBOR_TYPE,
    maxBodyBytes: 8 * MEGABYTE,
    answerType: CBOR_TYPE,
  },
  listKeyBindings: {
    method: 'GET',
    path: '/key-bindings',
    rules: ['/peerincoming'],
    recordRule: '/internalkeybinding/view/[name]',
    maxBodyBytes: 0,
    answerType: JSON_TYPE,
  },
  requestKeyBindingCertificate: {
    method: 'POST',
    path: '/key-bindings/request',
    rules: ['/peerincoming'],
    // The last one only for a new key pair.
    recordRule: [
      '/internalkeybinding/view/[name]',
      '/internalkeybinding/modify/[name]',
      '/cryptotoken/view/[token]',
      '/cryptotoken/keys/generate/[token]',
    ],
    requestType: JSON_TYPE,
    maxBodyBytes: 4096,
    answerType: JSON_TYPE,
  },
  deliverKeyBindingCertificate: {
    method: 'POST',
    path: '/key-bindings/certificate',
    rules: ['/peerincoming'],
    recordRule: ['/internalkeybinding/view/[name]', '/internalkeybinding/modify/[name]', '/cryptotoken/view/[token]'],
    requestType: JSON_TYPE,
    maxBodyBytes: MEGABYTE / 4,
    answerType: JSON_TYPE,
  },
} as const satisfies Record<string, Operation>;

/** Name of an operation. */
export type OperationName = keyof typeof OPERATIONS;

const BY_TARGET = new Map<string, OperationName>(
  (Object.keys(OPERATIONS) as OperationName[]).map((name) => [
    `${OPERATIONS[name].method} ${BASE_PATH}${OPERATIONS[name].path}`,
    name,
  ]),
);

/** The operation behind a request line, or undefined. Paths are compared to the letter: no dots, no encoding, no case. */
export function findOperation(method: string, path: string): OperationName | undefined {
  return BY_TARGET.get(`${method} ${path}`);
}
