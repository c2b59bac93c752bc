/** Orders for certificates as a renewal makes them. */
import type { KeyBindingFacts } from '../../../lib/keybinding/key-binding-facts.ts';
import type { IssueOrder } from '../../../lib/renewal/certificate-authority.ts';
import { createCertificateRequest, readCertificateRequest } from '../../../lib/x509/certificate-request.ts';
import { KEY_MAKERS } from '../../helpers/test-pki.ts';

/** What a peer shows of a binding. */
export const BINDING: KeyBindingFacts = {
  name: 'ocsp 1',
  cryptoToken: 'token 1',
  status: 'enabled',
  operational: 'online',
  subjectDN: 'CN=ocsp 1,O=Test,C=SE',
  issuerDN: 'CN=Issuing CA 1,O=Test,C=SE',
  serialNumber: '1',
  notBefore: '2026-01-01T00:00:00.000Z',
  expires: '2026-01-08T00:00:00.000Z',
  canRenew: true,
  keyAlgorithm: 'P-256',
  generation: 1,
  nextKey: '',
  orphanKeys: [],
  retiredKeys: [],
};

/** An order with a request of a fresh key; a test says what it wants otherwise. */
export function orderOf(fields: Partial<IssueOrder> = {}, makeKey = KEY_MAKERS.ec): IssueOrder {
  const certificateRequest = fields.certificateRequest ?? createCertificateRequest('CN=ocsp 1,O=Test,C=SE', makeKey());
  const { subjectDN } = readCertificateRequest(certificateRequest);
  return { peer: 'VA 1', binding: BINDING, certificateRequest, subjectDN, ...fields };
}
