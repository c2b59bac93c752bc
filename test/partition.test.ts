/**
 * Publishing by way of the queue while the network between CA and VA fails in each of its ways: nothing is lost,
 * nothing is made up, nothing is there twice, and what is left is published soon after the network is whole again.
 *
 * `PARTITION_MS=600000` makes it as long as a release wants it.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createNetwork, HOSTS, type Host, type Network, whyNoNetwork } from './helpers/network.ts';
import { marksLeft, PublishJournal, type ToldOrder } from './helpers/publish-journal.ts';
import type { PublishSideSettings } from './helpers/publish-side.ts';
import { createTestPki } from './helpers/test-pki.ts';
import { waitFor } from './helpers/wait-for.ts';
import { chance } from './lib/store/rows.ts';

const PARTITION_MS = Number(process.env['PARTITION_MS'] ?? 6_000);
const ROWS = 1_000;
const TIMEOUT_MS = 2_000;
const MAX_BACK_OFF_MS = 1_000;
const FIRST_SUCCESS_MS = 15_000;
/** How long is looked on before anything fails. */
const CLEAN_MS = 1_500;
const DRAIN_MS = 30_000;
/** What a pool keeps. */
const MAX_CONNECTIONS = 10;

const reason = whyNoNetwork();

describe(`publishing over a network that fails${reason === undefined ? '' : ` (${reason})`}`, function () {
  this.timeout(PARTITION_MS + 90_000);
  const folder = mkdtempSync(join(tmpdir(), 'partition-'));
  const pki = createTestPki();
  const vaServer = pki.server({ subjectAltNames: { ip: [HOSTS.va] } });
  const seed = Date.now() % 1_000_000;
  const random = chance(seed);
  const children: ChildProcess[] = [];
  let network: Network;

  before(function () {
    if (reason !== undefined) this.skip();
  });

  beforeEach(() => {
    network = createNetwork();
  });

  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    network.remove();
  });

  after(() => rmSync(folder, { recursive: true }));

  const startSide = async (side: Host, file: string, port: number) => {
    const { certificatePem: certificate, keyPem: key } = side === 'va' ? vaServer : pki.caClient;
    const settings: PublishSideSettings = {
      file,
      port,
      host: HOSTS.va,
      timeoutMs: TIMEOUT_MS,
      maxBackOffMs: MAX_BACK_OFF_MS,
      certificate,
      key,
      ca: pki.managementCa.certificatePem,
    };
    const child = network.start(side, new URL('./helpers/publish-side.ts', import.meta.url), [
      side,
      JSON.stringify(settings),
    ]);
    children.push(child);
    const [message] = (await once(child, 'message', { signal: AbortSignal.timeout(10_000) })) as [{ port?: number }];
    return { child, port: message.port ?? port };
  };
  const kill = async (child: ChildProcess): Promise<void> => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  const startBoth = async (name: string) => {
    const files = { ca: join(folder, `ca-${name}.sqlite`), va: join(folder, `va-${name}.sqlite`) };
    const va = await startSide('va', files.va, 0);
    const ca = await startSide('ca', files.ca, va.port);
    return { files, va, ca };
  };
  type Sides = Awaited<ReturnType<typeof startBoth>>;

  /** Changes of rows, some again and again, until it is stopped; and what was told of each. */
  const publishUntilStopped = ({ ca }: Sides) => {
    const journal = new PublishJournal();
    const stored: number[] = [];
    let state = 0;
    let isStopped = false;
    ca.child.on('message', (message) => {
      const told = message as ToldOrder;
      if (told.verdict === 'stored') stored.push(performance.now());
      journal.told(told);
    });
    const publishing = (async () => {
      while (!isStopped) {
        const orders = Array.from({ length: 20 }, () => ({ index: random(ROWS), state: ++state }));
        for (const order of orders) journal.attempt(order);
        ca.child.send(orders, () => undefined);
        await delay(20 + random(60));
      }
    })();
    return {
      journal,
      stored,
      count: () => state,
      stop: async () => {
        isStopped = true;
        await publishing;
      },
    };
  };

  /** Waits for the first success after now, then publishes on for a while; gives the milliseconds it took. */
  const firstSuccess = async (stored: readonly number[]): Promise<number> => {
    const healedAt = performance.now();
    const at = await waitFor({
      look: () => stored.find((each) => each > healedAt),
      what: `a success after the network was healed, seed ${seed}`,
      timeoutMs: FIRST_SUCCESS_MS,
    });
    await delay(500);
    return Math.round(at - healedAt);
  };

  /** All is published, then both sides end and their stores are compared. */
  const finish = async ({ files, va, ca }: Sides, journal: PublishJournal): Promise<void> => {
    await waitFor({
      look: () => (journal.silent() === 0 && marksLeft(files.ca) === 0) || undefined,
      what: 'an empty queue and a word about every message',
      timeoutMs: DRAIN_MS,
      context: () => `${marksLeft(files.ca)} marks left, ${journal.silent()} messages silent, seed ${seed}`,
    });
    await delay(300);
    assert.ok(network.openSockets('ca') <= MAX_CONNECTIONS, 'sockets at the CA');
    assert.ok(network.openSockets('va') <= 2 * MAX_CONNECTIONS, 'sockets at the VA');
    await Promise.all([kill(ca.child), kill(va.child)]);
    await journal.check(files.ca, files.va, seed);
  };

  const failures: readonly {
    readonly what: string;
    /** Whether something gets through all the same. */
    readonly isPartial?: boolean;
    readonly fail: (sides: Sides) => Promise<void>;
    readonly heal: (sides: Sides) => Promise<Sides>;
  }[] = [
    ...(['both', 'replies', 'reset', 'one in ten', 'three in ten'] as const).map((where) => ({
      what: {
        both: 'both directions are cut',
        replies: 'requests are done and their replies are lost',
        reset: 'connections are reset',
        'one in ten': 'one packet of ten is lost',
        'three in ten': 'three packets of ten are lost',
      }[where],
      isPartial: where.endsWith('ten'),
      fail: async () => network.cut(where),
      heal: async (sides: Sides) => {
        network.heal();
        return sides;
      },
    })),
    {
      what: 'the line is slow, 256 kbit a second',
      isPartial: true,
      fail: async () => network.slow(256),
      heal: async (sides) => {
        network.quicken();
        return sides;
      },
    },
    {
      what: 'the VA loses its wire and its power, so that connections are half open',
      fail: async ({ va }) => {
        network.unplug();
        await kill(va.child);
      },
      heal: async (sides) => {
        network.plug();
        return { ...sides, va: await startSide('va', sides.files.va, sides.va.port) };
      },
    },
  ];

  for (const [number, { what, isPartial = false, fail, heal }] of failures.entries()) {
    it(`nothing is lost or there twice when ${what}`, async () => {
      const sides = await startBoth(String(number));
      const { journal, stored, count, stop } = publishUntilStopped(sides);
      await waitFor({ look: () => stored.length > 50 || undefined, what: 'rows stored', timeoutMs: 10_000 });
      await delay(CLEAN_MS);
      const clean = stored.filter((each) => each > performance.now() - CLEAN_MS).length;
      await fail(sides);
      await delay(PARTITION_MS);
      const storedWhile = stored.filter((each) => each > performance.now() - PARTITION_MS / 2).length;
      const share = (2 * storedWhile * CLEAN_MS) / (PARTITION_MS * Math.max(1, clean));
      if (!isPartial) assert.equal(storedWhile, 0, 'the network had not failed');
      const unheard = await journal.doneUnheard(sides.files.va);
      if (what.includes('requests are done')) assert.ok(unheard > 0, 'no reply was lost');
      const healed = await heal(sides);
      const tookMs = await firstSuccess(stored);
      await stop();
      await finish(healed, journal);
      const facts = [`${count()} messages`, `${unheard} rows done unheard`, `first success after ${tookMs} ms`];
      if (isPartial) facts.push(`${Math.round(100 * share)} % of what is stored without failure`);
      console.log(`      ${facts.join(', ')}`);
    });
  }
});
