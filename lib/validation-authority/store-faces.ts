/**
 * The CRL store and the certificate store of a VA (RFC 4387), at the paths and with the parameters of EJBCA.
 *
 * @see EJBCA, Certificate Store Access via HTTP
 */
import { hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { CaCertificate, CrlStore } from '../store/crl-data.ts';
import { CrlBodies } from './crl-bodies.ts';
import { type Resource, sendResource, sendText } from './public-answer.ts';
import type { Face } from './public-server.ts';
import { caQueryOf, crlQueryOf } from './search-query.ts';

/** Where CRLs are served. */
export const CRL_PATH = '/crls/search.cgi';

const METHODS = ['GET', 'HEAD'] as const;
/** CA certificates come and go seldom; nothing in them says when. */
const CERTIFICATE_MAX_AGE_MS = 3_600_000;

/** Serves the latest CRL of a CA: full or, with `delta`, delta; of the partition that `partition` names. */
export function crlFace(crls: CrlStore): Face {
  const bodies = new CrlBodies(crls);
  return {
    path: CRL_PATH,
    methods: METHODS,
    async handle(request, response) {
      const crl = await crls.find(crlQueryOf(urlOf(request)));
      if (crl === undefined) return sendText(request, response, 404, 'There is no such CRL');
      const { fingerprint: tag, size: bytes, thisUpdate: lastModified, nextUpdate: expires } = crl;
      const resource = { type: 'application/pkix-crl', bytes, tag, lastModified, expires };
      return sendResource(request, response, { ...resource, body: () => bodies.get(crl) });
    },
  };
}

/** Serves CA certificates: one as it is, several as multipart/mixed (RFC 4387 2.4). */
export function certificateFace(crls: CrlStore): Face {
  return {
    path: '/certificates/search.cgi',
    methods: METHODS,
    async handle(request, response) {
      const found = await crls.findCaCertificates(caQueryOf(urlOf(request)));
      const [first] = found;
      if (first === undefined) return sendText(request, response, 404, 'There is no such certificate');
      const isOne = found.length === 1;
      return sendResource(request, response, isOne ? single(first) : several(found));
    },
  };
}

function urlOf(request: IncomingMessage): string {
  return request.url ?? '';
}

function single({ certificate, fingerprint }: CaCertificate): Resource {
  return resourceOf('application/pkix-cert', certificate, fingerprint);
}

function several(certificates: readonly CaCertificate[]): Resource {
  const tag = hash('sha1', certificates.map(({ fingerprint }) => fingerprint).join());
  const boundary = `certificates-${tag}`;
  const parts = certificates.flatMap(({ certificate }) => [
    Buffer.from(
      `--${boundary}\r\nContent-Type: application/pkix-cert\r\nContent-Length: ${certificate.length}\r\n\r\n`,
    ),
    certificate,
    Buffer.from('\r\n'),
  ]);
  const body = Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]);
  return resourceOf(`multipart/mixed; boundary=${boundary}`, body, tag);
}

function resourceOf(type: string, body: Uint8Array, tag: string): Resource {
  const expires = Date.now() + CERTIFICATE_MAX_AGE_MS;
  return { type, bytes: body.length, tag, expires, body: () => Promise.resolve(body) };
}
