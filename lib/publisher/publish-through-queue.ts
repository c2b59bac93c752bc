/**
 * Publishes rows by way of the queue: into the store together with their marks, in one transaction, and only then out.
 *
 * @see EJBCA, Publishers Overview, safe direct publishing
 */
import { isPeerErrorCode, type PeerErrorCode, toPeerError } from '../errors.ts';
import type { CertificateData } from '../store/certificate-data.ts';
import { encodeRow } from '../store/certificate-row.ts';
import type { WriteResult } from '../store/certificate-store.ts';
import { isCaRow } from '../store/publisher-queue.ts';
import { ALL_CAS } from '../x509/ca-scope.ts';
import type { PeerGroup } from './peer-group.ts';
import { type PublishRow, type PublishTask, publishRowOf } from './publish-report.ts';
import { NOT_REVOKED } from './publish-rules.ts';
import type { PublisherQueue } from './publisher-queue.ts';

const MAX_ROWS_PER_WRITE = 1_000;
const MAX_BYTES_PER_WRITE = 4 * 1024 * 1024;

interface Encoded {
  readonly row: CertificateData;
  readonly bytes: Uint8Array;
}

/**
 * Queues rows and, in the mode `safe`, waits for what the peers say to them.
 *
 * @returns for each row what happened at each group
 */
export async function publishThroughQueue(
  rows: readonly CertificateData[],
  task: PublishTask,
): Promise<readonly (readonly PublishRow[])[]> {
  const queue = task.queue as PublisherQueue;
  const perChunk = chunksOf(rows.map((row) => ({ row, bytes: encodeRow(row) }))).map(async (chunk) => {
    const { rules, groups } = task;
    const marks = { ...rules, peers: groups.map(({ key }) => key) };
    try {
      const result = await queue.store.writeRows([Buffer.concat(chunk.map(({ bytes }) => bytes))], ALL_CAS, marks);
      return await Promise.all(chunk.map(({ row }, index) => afterWrite(row, { result, index }, task)));
    } catch (error) {
      const { code, message: detail } = toPeerError(error);
      return chunk.map(({ row }) => [publishRowOf(row, { peer: '', verdict: 'failed', code, detail })]);
    }
  });
  const published = (await Promise.all(perChunk)).flat();
  if (task.mode === 'queue') for (const { key } of task.groups) queue.wake(key);
  return published;
}

/** Together in one transaction as long as it is not too large. */
function chunksOf(rows: readonly Encoded[]): readonly (readonly Encoded[])[] {
  const chunks: Encoded[][] = [];
  let bytes = 0;
  for (const each of rows) {
    const current = chunks.at(-1);
    bytes += each.bytes.length;
    if (current === undefined || current.length === MAX_ROWS_PER_WRITE || bytes > MAX_BYTES_PER_WRITE) {
      chunks.push([each]);
      bytes = each.bytes.length;
    } else {
      current.push(each);
    }
  }
  return chunks;
}

async function afterWrite(
  row: CertificateData,
  { result, index }: { readonly result: WriteResult; readonly index: number },
  task: PublishTask,
): Promise<readonly PublishRow[]> {
  if (result.verdicts[index] === 'r')
    return [publishRowOf(row, { peer: '', verdict: 'refused', ...causeOf(result, index) })];
  const sequence = result.sequences?.[index] ?? 0;
  const tell = async (group: PeerGroup): Promise<PublishRow> => {
    if (sequence === 0) return publishRowOf(row, { peer: group.name, verdict: 'skipped', detail: NOT_REVOKED });
    if (task.mode === 'queue') return publishRowOf(row, { peer: group.name, verdict: 'queued' });
    const { key: peer } = group;
    const withCertificate = task.rules.withCertificate || isCaRow(row);
    const mark = { peer, kind: 'certificate', fingerprint: row.fingerprint, sequence, withCertificate } as const;
    return publishRowOf(row, await (task.queue as PublisherQueue).sendNow(mark));
  };
  return Promise.all(task.groups.map(tell));
}

function causeOf({ refusals }: WriteResult, index: number): { readonly code: PeerErrorCode; readonly detail: string } {
  const { code = '', detail = '' } = refusals.find((refusal) => refusal.index === index) ?? {};
  return { code: isPeerErrorCode(code) ? code : 'ERR_INTERNAL', detail };
}
