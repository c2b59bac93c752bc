/**
 * OCSP among the faces of a VA, at the paths that certificates name.
 */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { OcspHandler } from '../ocsp/ocsp-http.ts';
import type { OcspResponder } from '../ocsp/ocsp-responder.ts';
import type { Face } from './public-server.ts';

/** `/ocsp`, and where EJBCA has it. */
const PATHS = ['/ocsp', '/ejbca/publicweb/status/ocsp'] as const;
const METHODS = ['GET', 'HEAD', 'POST'] as const;

/** By GET the request stands in the path, below that of the face (RFC 6960 A.1). */
export function ocspFaces(responder: OcspResponder): readonly Face[] {
  const below = PATHS.map((path) => {
    const handler = new OcspHandler(responder, { path });
    return { path, hasPathsBelow: true, methods: METHODS, handle: answering(handler) };
  });
  const root = new OcspHandler(responder, { path: '/' });
  return [...below, { path: '/', methods: ['POST'], handle: answering(root) }];
}

/** The answer is counted when it has been sent. */
function answering(handler: OcspHandler): Face['handle'] {
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const closed = once(response, 'close');
    handler.handle(request, response);
    await closed;
  };
}

/** Flat, for dashboards. All since the responder began. */
export interface OcspNumbers {
  /** Well-formed or not. */
  readonly ocspRequests: number;
  /** Certificates called good, revoked, unknown; a request may ask about several. */
  readonly ocspGood: number;
  readonly ocspRevoked: number;
  readonly ocspUnknown: number;
  /** Requests that ended without a signed answer. */
  readonly ocspErrors: number;
  /** Answers that were signed before. */
  readonly ocspFromCache: number;
  /** Signatures made. */
  readonly ocspSigned: number;
}

/** The counters of a responder. */
export function ocspNumbers(responder: OcspResponder): OcspNumbers {
  const { requests, good, revoked, unknown, errors, cacheHits, signed } = responder.counters();
  return {
    ocspRequests: requests,
    ocspGood: good,
    ocspRevoked: revoked,
    ocspUnknown: unknown,
    ocspErrors: Object.values(errors).reduce((sum, count) => sum + count, 0),
    ocspFromCache: cacheHits,
    ocspSigned: signed,
  };
}
