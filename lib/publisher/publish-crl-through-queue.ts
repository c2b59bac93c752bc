/**
 * Publishes a CRL by way of the queue: into the store together with its marks, in one transaction, and only then out.
 *
 * @see EJBCA, Publishers Overview, "Use queue for CRLs" and safe direct publishing
 */
import { toPeerError } from '../errors.ts';
import type { CrlData, CrlVerdict } from '../store/crl-data.ts';
import { ALL_CAS } from '../x509/ca-scope.ts';
import { type CrlInput, withCrlSource } from './crl-input.ts';
import { crlRefusalOf } from './crl-sender.ts';
import type { PeerGroup } from './peer-group.ts';
import { type CrlPublishTask, ownView, type PublishedCrlRow } from './publish-crl-report.ts';
import type { PublisherQueue } from './publisher-queue.ts';

/**
 * Queues a CRL and, in the mode `safe`, waits for what the peers say to it.
 *
 * @returns a row per group, or one without a peer when this side's store does not take it
 */
export async function publishCrlThroughQueue(crl: CrlInput, task: CrlPublishTask): Promise<readonly PublishedCrlRow[]> {
  const { groups, mode } = task;
  const queue = task.queue as PublisherQueue;
  const { crlPartitionIndex } = crl;
  const marks = groups.map(({ key }) => key);
  try {
    const written = await withCrlSource(crl, (source) =>
      queue.store.crls.write(source, { scope: ALL_CAS, crlPartitionIndex, marks }),
    );
    if (mode === 'safe') return await Promise.all(groups.map((group) => sendNow(queue, group, written)));
    for (const { key } of groups) queue.wake(key);
    return groups.map(({ name }) => ({ ...rowOf(written.crl), peer: name, verdict: 'queued', code: '', detail: '' }));
  } catch (cause) {
    const { code, message: detail } = toPeerError(cause);
    const verdict = crlRefusalOf(cause)?.verdict ?? 'failed';
    return [{ ...ownView(crl), peer: '', verdict, code, detail }];
  }
}

async function sendNow(queue: PublisherQueue, group: PeerGroup, written: CrlVerdict): Promise<PublishedCrlRow> {
  const { crl, sequence = 0 } = written;
  const mark = {
    peer: group.key,
    kind: 'crl',
    fingerprint: crl.fingerprint,
    sequence,
    withCertificate: false,
  } as const;
  const { peer, verdict, code = '', detail = '' } = await queue.sendNow(mark);
  return { ...rowOf(crl), peer, verdict, code, detail };
}

function rowOf(crl: CrlData) {
  const { issuerDN, crlPartitionIndex, cRLNumber, deltaCRLIndicator, thisUpdate, nextUpdate } = crl;
  return {
    issuerDN,
    crlPartitionIndex,
    cRLNumber: cRLNumber === '-1' ? '' : cRLNumber,
    isDelta: deltaCRLIndicator !== '-1',
    thisUpdate: new Date(thisUpdate).toISOString(),
    nextUpdate: new Date(nextUpdate).toISOString(),
  };
}
