import assert from 'node:assert/strict';
import type { IncomingPeer } from '../../../lib/endpoint/incoming-connections.ts';
import { type Overview, toOverview } from '../../../lib/overview/overview.ts';
import { OverviewLog } from '../../../lib/overview/overview-changes.ts';
import { connector, endpoint, facts, peer } from './rows.ts';

const overview = (peers: readonly IncomingPeer[], name = 'va'): Overview =>
  toOverview(facts({ connectors: [connector('c', { name })], endpoints: [endpoint('e', peers)] }));

describe('changes of the overview', () => {
  it('are everything for who has seen nothing', () => {
    const log = new OverviewLog();
    log.update(overview([peer('a')]));
    const { isWhole, sections } = log.since('');
    assert.ok(isWhole);
    assert.deepEqual([sections.outgoing.changed.length, sections.incoming.changed.length], [1, 1]);
  });

  it('are nothing while nothing changes', () => {
    const log = new OverviewLog();
    assert.ok(log.update(overview([peer('a')])));
    const { version } = log;
    assert.ok(!log.update(overview([peer('a')])));
    const changes = log.since(version);
    assert.deepEqual([changes.isWhole, changes.version], [false, version]);
    for (const section of Object.values(changes.sections)) assert.deepEqual(section, { changed: [], removed: [] });
  });

  it('are just the rows that are others, new or gone', () => {
    const log = new OverviewLog();
    log.update(overview([peer('a'), peer('b'), peer('c')]));
    const { version } = log;
    log.update(overview([peer('d'), peer('a'), peer('b', { requests: 1 })]));
    const { sections } = log.since(version);
    assert.deepEqual(
      sections.incoming.changed.map(({ id }) => id),
      ['e b', 'e d'],
    );
    assert.deepEqual(sections.incoming.removed, ['e c']);
    assert.deepEqual(sections.outgoing.changed, []);
  });

  it('bring a follower to the same rows, whenever it looks', () => {
    const log = new OverviewLog();
    const rows = new Map<string, unknown>();
    let version = '';
    const alive = new Map<string, IncomingPeer>();
    for (let step = 0; step < 500; step++) {
      const id = String((step * 7919) % 40);
      if (step % 3 === 0) alive.delete(id);
      else alive.set(id, peer(id, { requests: step }));
      log.update(overview([...alive.values()]));
      if (step % 5 !== 0 && step !== 499) continue;
      const changes = log.since(version);
      if (changes.isWhole) rows.clear();
      for (const gone of changes.sections.incoming.removed) rows.delete(gone);
      for (const row of changes.sections.incoming.changed) rows.set(row.id, row);
      version = changes.version;
      const wanted = new Map(overview([...alive.values()]).incoming.map((row) => [row.id, row]));
      assert.deepEqual(new Map([...rows].sort()), new Map([...wanted].sort()), `step ${step}`);
    }
  });

  for (const version of ['nonsense', '1', ':1', 'other-run:2', '../..:99', `${'9'.repeat(400)}:1`]) {
    it(`are everything for a version that is none of this run: ${version.slice(0, 20)}`, () => {
      const log = new OverviewLog();
      log.update(overview([peer('a')]));
      assert.ok(log.since(version).isWhole);
    });
  }

  it('are everything for who has looked so long ago that removals are forgotten', () => {
    const log = new OverviewLog();
    log.update(overview([]));
    const { version } = log;
    for (let step = 0; step < 8; step++) {
      log.update(overview(Array.from({ length: 1_000 }, (_, i) => peer(`${step}-${i}`))));
    }
    assert.ok(log.since(version).isWhole);
  });

  it('of a thousand peers are found in a few milliseconds', () => {
    const log = new OverviewLog();
    const rounds = Array.from({ length: 20 }, (_, round) =>
      overview(Array.from({ length: 1_000 }, (_, i) => peer(String(i), { requests: i === round ? 1 : 0 }))),
    );
    log.update(overview([]));
    const begun = performance.now();
    for (const round of rounds) log.update(round);
    assert.ok((performance.now() - begun) / rounds.length < 25);
  });
});
