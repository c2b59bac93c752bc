/**
 * One input to several peers: what happened to each certificate at each of them.
 */
import { PeerError, toPeerError } from '../errors.ts';
import type { CertificateData } from '../store/certificate-data.ts';
import { type InputItem, readCertificateInput } from './certificate-input.ts';
import { isOpensslDirectory, readOpensslDirectory } from './openssl-directory.ts';
import type { PeerGroup } from './peer-group.ts';
import {
  type PublishReport,
  type PublishRow,
  type PublishTask,
  publishRowOf,
  reportOf,
  unreadable,
} from './publish-report.ts';
import { asPublished, isIndexTest, skipReason } from './publish-rules.ts';
import { publishThroughQueue } from './publish-through-queue.ts';

/** Rows and sums; `failure` when all there was to publish was refused or failed. */
export interface PublishResult {
  readonly rows: readonly PublishRow[];
  readonly report: PublishReport;
  readonly failure: PeerError | undefined;
}

/**
 * Publishes an input to all groups at once and waits for all answers.
 *
 * @param now epoch milliseconds; becomes the updateTime of a stated status without one
 * @throws PeerError ERR_INVALID_INPUT when the input says nothing; ERR_TOO_LARGE when it is an index that is too long
 */
export async function publishToPeers(
  input: unknown,
  task: PublishTask,
  now: number = Date.now(),
): Promise<PublishResult> {
  const items = isOpensslDirectory(input) ? await readOpensslDirectory(input) : readCertificateInput(input, now);
  const rows = task.queue === undefined ? await publishDirectly(items, task) : await publishQueued(items, task);
  const report = reportOf(rows, items.length, task);
  return { rows, report, failure: failureOfAll(report, rows.length) };
}

async function publishDirectly(items: readonly InputItem[], task: PublishTask): Promise<readonly PublishRow[]> {
  const perItem = items.map((item) => ('failure' in item ? [unreadable(item.failure)] : sendRow(item.row, task)));
  return (await Promise.all(perItem)).flat();
}

function sendRow(row: CertificateData, { groups, rules }: PublishTask): Promise<readonly PublishRow[]> {
  const reason = skipReason(row, rules);
  const published = asPublished(row, rules);
  const sendTo = async (group: PeerGroup): Promise<PublishRow> => {
    if (reason !== undefined) return publishRowOf(row, { peer: group.name, verdict: 'skipped', detail: reason });
    try {
      return await group.call(async (peer) =>
        publishRowOf(row, { peer: peer.name, ...(await peer.publisher().publish(published)) }),
      );
    } catch (error) {
      const { code, message: detail } = toPeerError(error);
      return publishRowOf(row, { peer: group.name, verdict: 'failed', code, detail });
    }
  };
  return Promise.all(groups.map(sendTo));
}

async function publishQueued(items: readonly InputItem[], task: PublishTask): Promise<readonly PublishRow[]> {
  const readable = items.flatMap((item) => ('row' in item && !isIndexTest(item.row) ? [item.row] : []));
  const published = await publishThroughQueue(readable, task);
  let next = 0;
  return items.flatMap((item) => {
    if ('failure' in item) return [unreadable(item.failure)];
    const detail = isIndexTest(item.row) ? skipReason(item.row, task.rules) : undefined;
    if (detail === undefined) return published[next++] ?? [];
    return task.groups.map(({ name }) => publishRowOf(item.row, { peer: name, verdict: 'skipped', detail }));
  });
}

function failureOfAll({ failures }: PublishReport, rows: number): PeerError | undefined {
  const [first] = failures;
  if (first === undefined || failures.length < rows) return undefined;
  const others = failures.length === 1 ? '' : ` (and ${failures.length - 1} more)`;
  return new PeerError(first.code === '' ? 'ERR_INTERNAL' : first.code, `${first.detail}${others}`);
}
