/**
 * Flow node: publishes certificates and their status to one or several peers, directly or by way of the publisher queue.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { PeerError } from '../lib/errors.ts';
import { PUBLISH_MODES, type PublishMode, type PublishReport } from '../lib/publisher/publish-report.ts';
import { publishToPeers } from '../lib/publisher/publish-to-peers.ts';
import type { PublisherQueue } from '../lib/publisher/publisher-queue.ts';
import { statusAnswer } from '../lib/publisher/publisher-status.ts';
import type { CertificateStoreNode } from './certificate-store.ts';
import { connectorsFor, useConnectors } from './shared/connectors.ts';
import { type FlowMessage, handleInput } from './shared/handle-input.ts';
import { configNode, numberField } from './shared/node-config.ts';
import { showStatus } from './shared/node-status.ts';
import { groupsOf, publishGroups } from './shared/publish-groups.ts';
import { usePublisherQueue } from './shared/publisher-queues.ts';
import { queueCommand } from './shared/queue-command.ts';
import { tellQueue } from './shared/queue-events.ts';
import { serveStatus } from './shared/status-route.ts';

interface PublishCertDef extends NodeDef {
  readonly connectors: readonly string[];
  /** Names of connectors, one per line, an empty line between groups; empty = each connector gets everything. */
  readonly groups?: string;
  readonly mode?: PublishMode;
  readonly store?: string;
  readonly withCertificate?: boolean;
  readonly onlyRevoked?: boolean;
  /** Minutes. */
  readonly outOfSyncAfter?: number | string;
  /** Below `httpNodeRoot`; empty = none. */
  readonly statusPath?: string;
}

export default function (RED: NodeAPI): void {
  function PeerPublishCert(this: Node, config: PublishCertDef): void {
    RED.nodes.createNode(this, config);
    const configured = config.connectors ?? [];
    useConnectors(RED, this, configured);
    const settings = attempt(this, () => openSettings(RED, this, config));
    handleInput(this, async (message) => {
      if (settings instanceof PeerError) throw settings;
      const groups = groupsFor(message);
      if (message['queue'] !== undefined) return [null, await queueCommand(message, groups, settings)];
      const { rules, mode, queue } = settings;
      const { rows, report, failure } = await publishToPeers(message.payload, { groups, rules, mode, queue });
      message['publish'] = report;
      if (failure !== undefined) throw failure;
      message.payload = rows;
      showReport(this, report);
      return [message, null];
    });

    const groupsFor = (message: FlowMessage) => {
      const named = message['connector'];
      const connectors = connectorsFor(RED, configured, named);
      const isNamed = named !== undefined && named !== '';
      return publishGroups(RED, groupsOf(connectors, isNamed ? '' : (config.groups ?? '')));
    };
  }

  RED.nodes.registerType('peer-publish-cert', PeerPublishCert);

  function showReport(node: Node, { stored, unchanged, queued, refused, failed }: PublishReport): void {
    const isComplete = refused + failed === 0;
    const text = !isComplete
      ? RED._('publish-cert.status.partly', { refused, failed })
      : queued > 0
        ? RED._('publish-cert.status.queued', { queued })
        : RED._('publish-cert.status.published', { stored, unchanged });
    showStatus(node, { fill: isComplete && queued === 0 ? 'green' : 'yellow', shape: 'dot', text });
  }
}
