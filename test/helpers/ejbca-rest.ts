/**
 * A stand-in for the certificate REST API of an EJBCA, over real TLS with client certificates: the fields and error
 * bodies of `POST /v1/certificate/pkcs10enroll`.
 */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { readCertificate } from '../../lib/x509/certificate.ts';
import type { CertificateTemplate } from '../../lib/x509/certificate-builder.ts';
import { readCertificateRequest } from '../../lib/x509/certificate-request.ts';
import { readPemBlock } from '../../lib/x509/pem.ts';
import { certify } from './ocsp-binding.ts';
import type { Credential, TestPki } from './test-pki.ts';

const PATH = '/ejbca/ejbca-rest-api/v1/certificate/pkcs10enroll';

/** What a test may change while it runs. */
export interface EjbcaRestBehaviour {
  delayMs: number;
  /** Encodes byte fields twice, as some versions do. */
  isEncodedTwice: boolean;
  template: Partial<CertificateTemplate>;
  /** Answers with just this, whatever is asked. */
  answer: { readonly status: number; readonly body: string } | undefined;
}

class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Starts it; `issued` collects the bodies of requests that led to a certificate. */
export async function startEjbcaRest(pki: TestPki, issuer: Credential) {
  const behaviour: EjbcaRestBehaviour = { delayMs: 0, isEncodedTwice: false, template: {}, answer: undefined };
  const issued: Record<string, string>[] = [];

  const enroll = (request: IncomingMessage, text: string): object => {
    const client = (request.socket as TLSSocket).getPeerX509Certificate();
    if (client === undefined || !client.subject.includes('CN=ca-1')) {
      throw new Refusal(403, 'You are not authorized to this resource');
    }
    if (request.method !== 'POST' || request.url !== PATH) throw new Refusal(404, 'HTTP 404 Not Found');
    const body = JSON.parse(text) as Record<string, string>;
    if (body['certificate_authority_name'] !== 'IssuingCA1') throw new Refusal(400, 'Unknown CA');
    if (body['certificate_profile_name'] !== 'OCSP Signer') throw new Refusal(400, 'Unknown certificate profile');
    if (body['end_entity_profile_name'] !== 'OCSP Signers') throw new Refusal(400, 'Unknown end entity profile');
    if (!body['username'] || !body['password']) throw new Refusal(422, 'Username and password are required');
    const der = readPemBlock(body['certificate_request'] ?? '', 'CERTIFICATE REQUEST');
    readCertificateRequest(der);
    const certificate = certify(issuer, der, behaviour.template);
    issued.push(body);
    return {
      certificate: encode(certificate),
      serial_number: BigInt(readCertificate(certificate).serialNumber).toString(16).toUpperCase(),
      response_format: 'DER',
      certificate_chain: body['include_chain'] ? [encode(certificate), encode(issuer.certificate)] : [],
      certificate_profile: 'OCSP Signer',
      end_entity_profile: 'OCSP Signers',
    };
  };
  const encode = (der: Uint8Array): string => {
    const once = Buffer.from(der).toString('base64');
    return behaviour.isEncodedTwice ? Buffer.from(once).toString('base64') : once;
  };
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    await delay(behaviour.delayMs);
    if (behaviour.answer !== undefined)
      return void response.writeHead(behaviour.answer.status).end(behaviour.answer.body);
    const send = (status: number, body: object): void =>
      void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    try {
      send(201, enroll(request, Buffer.concat(chunks).toString()));
    } catch (error) {
      const { status, message } = error instanceof Refusal ? error : { status: 400, message: 'Invalid request' };
      send(status, { error_code: status, error_message: message });
    }
  };
  const server = createServer(
    {
      cert: pki.vaServer.certificatePem,
      key: pki.vaServer.keyPem,
      ca: pki.managementCa.certificatePem,
      requestCert: true,
    },
    (request, response) => void serve(request, response).catch(() => response.destroy()),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: new URL(`https://localhost:${(server.address() as AddressInfo).port}`),
    behaviour,
    issued,
    close: (): void => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** What `startEjbcaRest` gives. */
export type EjbcaRest = Awaited<ReturnType<typeof startEjbcaRest>>;
