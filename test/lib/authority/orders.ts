/** Orders for certificates as a renewal makes them. */
import type { IssueOrder } from '../../../lib/authority/certificate-authority.ts';
import { readCertificateRequest } from '../../../lib/x509/certificate-request.ts';
import { KEY_MAKERS, requestFor } from '../../helpers/test-pki.ts';

/** Of the CA that the orders are for. */
export const ISSUER_DN = 'CN=Issuing CA 1,O=Test,C=SE';

/** An order with a request of a fresh key; a test says what it wants otherwise. */
export function orderOf(fields: Partial<IssueOrder> = {}, makeKey = KEY_MAKERS.ec): IssueOrder {
  const certificateRequest = fields.certificateRequest ?? requestFor('CN=ocsp 1,O=Test,C=SE', makeKey());
  const { subjectDN } = readCertificateRequest(certificateRequest);
  return {
    purpose: 'ocspSigner',
    peer: 'VA 1',
    name: 'ocsp 1',
    issuerDN: ISSUER_DN,
    certificateRequest,
    subjectDN,
    ...fields,
  };
}
