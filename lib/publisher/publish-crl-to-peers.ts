/**
 * One CRL to several peers: what became of it at each of them.
 */
import { toPeerError } from '../errors.ts';
import type { PeerClient } from '../pool/peer-client.ts';
import type { PublishedCrl } from '../protocol/messages.ts';
import { type CrlInput, readCrlInput } from './crl-input.ts';
import { crlRefusalOf } from './crl-sender.ts';
import type { PeerGroup } from './peer-group.ts';
import {
  type CrlPublishResult,
  type CrlPublishTask,
  crlResultOf,
  ownView,
  type PublishedCrlRow,
} from './publish-crl-report.ts';
import { publishCrlThroughQueue } from './publish-crl-through-queue.ts';

/** Sends one CRL to one peer; answers after the peer has it on disk. */
export function sendCrl(
  client: PeerClient,
  { body, crlPartitionIndex }: Pick<CrlInput, 'body' | 'crlPartitionIndex'>,
): Promise<PublishedCrl> {
  return client.publishCrl(body, crlPartitionIndex);
}

/**
 * Publishes an input to all groups at once and waits for all answers.
 *
 * @throws PeerError what reading the input throws
 */
export async function publishCrlToPeers(input: unknown, task: CrlPublishTask): Promise<CrlPublishResult> {
  const crl = await readCrlInput(input);
  if (task.queue !== undefined) return crlResultOf(await publishCrlThroughQueue(crl, task));
  return crlResultOf(await Promise.all(task.groups.map((group) => publishTo(group, crl))));
}

async function publishTo(group: PeerGroup, crl: CrlInput): Promise<PublishedCrlRow> {
  try {
    return await group.call(async ({ name, client }) => {
      try {
        return rowOf(name, await sendCrl(client(), crl));
      } catch (error) {
        const refusal = crlRefusalOf(error);
        // Another member would say the same.
        if (refusal === undefined) throw error;
        return { ...ownView(crl), peer: name, code: '', detail: '', ...refusal };
      }
    });
  } catch (cause) {
    const { code, message: detail } = toPeerError(cause);
    return { ...ownView(crl), peer: group.name, verdict: 'failed', code, detail };
  }
}

function rowOf(peer: string, crl: PublishedCrl): PublishedCrlRow {
  const { issuerDN, crlPartitionIndex, cRLNumber, deltaCRLIndicator, thisUpdate, nextUpdate, verdict } = crl;
  return {
    peer,
    issuerDN,
    crlPartitionIndex,
    cRLNumber: cRLNumber === '-1' ? '' : cRLNumber,
    isDelta: deltaCRLIndicator !== '-1',
    thisUpdate,
    nextUpdate,
    verdict,
    code: '',
    detail: '',
  };
}
