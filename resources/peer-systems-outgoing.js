/**
 * Outgoing connections: a card per peer connector with its synchronisations.
 */

import {
  button,
  dayOf,
  element,
  expiryLevel,
  facts,
  heading,
  keyedParts,
  setText,
  timeOf,
} from './peer-systems-elements.js';
import { remoteBindings } from './peer-systems-remote-bindings.js';
import { asksForRole, authoriseRequests } from './peer-systems-roles.js';

/** The section. */
export function outgoingList(context) {
  const { text } = context;
  const cards = element('div', { class: 'peer-cards' });
  const none = element('p', { class: 'peer-none' });
  setText(none, text('outgoing.none'));
  const update = keyedParts(cards, (id) => connectorCard(id, context));
  return {
    element: element('section', { 'aria-label': text('outgoing.title') }, [
      heading(text('outgoing.title')),
      none,
      cards,
    ]),
    show({ connectors, ...others }) {
      none.hidden = connectors.length > 0;
      update(
        connectors.sort((a, b) => a.name.localeCompare(b.name)),
        others,
      );
    },
  };
}

function connectorCard(id, context) {
  const { text, call, mayWrite } = context;
  const dot = element('span', { class: 'peer-dot', 'aria-hidden': 'true' });
  const name = element('a', { href: '#', class: 'peer-name' });
  name.addEventListener('click', (event) => {
    event.preventDefault();
    RED.editor.editConfig('', 'peer-connector', id);
  });
  const state = element('span', { class: 'peer-state' });
  const url = element('div', { class: 'peer-url' });
  const lines = facts(
    ['pool', 'ping', 'client', 'server', 'queue', 'incomingRoles', 'requests', 'error'].map((key) => [
      key,
      text(`outgoing.${key}`),
    ]),
  );
  let isSwitchedOff = false;
  const act = (action) => call(`connectors/${encodeURIComponent(id)}/${action}`);
  const ping = button(text('action.ping'), 'fa-bolt', async () => {
    ping.disabled = true;
    await act('ping');
    ping.disabled = !mayWrite();
  });
  const reset = button(text('action.reset'), 'fa-refresh', () => act('reset'));
  const toggle = button('', 'fa-power-off', () => act(isSwitchedOff ? 'enable' : 'disable'));
  const queue = queueButtons(id, context);
  const authorise = button(text('action.authorise'), 'fa-user-plus', () => authoriseRequests(id, text));
  const bindings = remoteBindings(id, context);
  const buttons = element('div', { class: 'peer-buttons' }, [
    ...[ping, reset, toggle, bindings.toggle, authorise],
    ...queue.elements,
  ]);
  const runs = element('div', { class: 'peer-syncs' });
  const updateRuns = keyedParts(runs, (syncId) => syncLine(syncId, context));
  const head = element('div', { class: 'peer-head' }, [dot, name, state]);
  return {
    element: element('article', { class: 'peer-card', 'data-id': id }, [
      head,
      url,
      lines.element,
      buttons,
      bindings.element,
      runs,
    ]),
    show(row, { syncs, renewers, renewals, switches }) {
      isSwitchedOff = switches.disabledConnectors?.includes(id) === true;
      setText(name, row.name);
      setText(url, row.url);
      setText(state, text(`state.${row.state}`));
      dot.className = `peer-dot peer-dot-${dotOf(row)}`;
      showLines(lines, row, text);
      setText(toggle.lastChild, text(isSwitchedOff ? 'action.enable' : 'action.disable'));
      const isOff = row.state === 'disabled' || row.state === 'unusable';
      for (const each of [ping, reset]) each.disabled = isOff || !mayWrite();
      bindings.toggle.disabled = isOff;
      toggle.disabled = !mayWrite();
      // Who the RA is shows once its certificate has been seen.
      authorise.hidden = !asksForRole(id) || row.serverSubjectDN === '';
      queue.show(row);
      const ofThis = (rows) => rows.filter(({ connectorId }) => connectorId === id);
      const able = ofThis(renewers).filter(({ authority }) => authority !== '');
      bindings.show({ renewers: able, renewals: ofThis(renewals), isOff });
      updateRuns(ofThis(syncs), row);
    },
  };
}

/** For marks that wait or are parked. */
function queueButtons(id, { text, call, mayWrite }) {
  const act = (action, body) => call(`connectors/${encodeURIComponent(id)}/queue/${action}`, body);
  const show = button(text('action.queue'), 'fa-list', () => showQueue(id, text));
  const retry = button(text('action.retry'), 'fa-repeat', () => act('retry', { state: 'all' }));
  const empty = button(text('action.emptyParked'), 'fa-trash', () => {
    if (globalThis.confirm(text('outgoing.confirmEmpty'))) act('empty', { state: 'parked' });
  });
  return {
    elements: [show, retry, empty],
    show({ queueLength, queueParked }) {
      show.hidden = queueLength + queueParked === 0;
      retry.hidden = show.hidden;
      retry.disabled = !mayWrite();
      empty.hidden = queueParked === 0;
      empty.disabled = !mayWrite();
    },
  };
}

/** The first marks of a queue, each with its cause; a failure is shown in its words. */
async function showQueue(id, text) {
  const rows = await $.getJSON(`peer-systems/connectors/${encodeURIComponent(id)}/queue`).then(
    (marks) => marks.map((mark) => markText(mark, text)),
    ({ responseJSON: { code = '', detail = '' } = {} }) => [`${code} ${detail}`],
  );
  const lines = (rows.length === 0 ? [text('outgoing.nothing')] : rows).map((row) => {
    const line = element('div');
    setText(line, row);
    return line;
  });
  const list = element('div', { class: 'peer-marks' }, lines);
  const close = { text: text('action.close'), class: 'primary', click: () => shown.close() };
  const shown = RED.notify($(list), { modal: true, fixed: true, buttons: [close] });
}

function markText({ state, kind, fingerprint, addedAt, code, detail }, text) {
  const cause = code === '' ? '' : ` · ${code}: ${detail}`;
  return `${text(`mark.${state}`)} · ${kind} ${fingerprint} · ${timeOf(addedAt)}${cause}`;
}

function dotOf({ state, pingError, outOfSync, identityOutdated }) {
  if (state === 'unusable' || pingError !== '') return 'red';
  if (state === 'disabled') return 'grey';
  if (outOfSync || identityOutdated) return 'yellow';
  return state === 'running' ? 'green' : 'ring';
}

function showLines(lines, row, text) {
  const { inUse, ready, max, queued } = row;
  lines.set('pool', text('outgoing.poolNumbers', { inUse, ready, max, queued }));
  const ping = row.pingMs === null ? text('outgoing.noPing') : `${row.pingMs} ms`;
  const at = row.pingAt === '' ? '' : ` · ${timeOf(row.pingAt)}`;
  lines.set('ping', row.pingError === '' ? ping + at : `${row.pingError}${at}`, { level: row.pingError && 'error' });
  const note = row.identityOutdated ? ` · ${text('outgoing.outdated')}` : '';
  showCertificate(lines, 'client', { subject: row.clientSubjectDN, expires: row.clientExpires, note, text });
  const cipher = row.protocol === '' ? '' : ` · ${row.protocol}`;
  showCertificate(lines, 'server', { subject: row.serverSubjectDN, expires: row.serverExpires, note: cipher, text });
  lines.set('queue', queueText(row, text), { level: row.outOfSync || row.queueError !== '' ? 'warning' : '' });
  lines.set('incomingRoles', row.incomingRoles);
  lines.set('requests', requestsText(row, text));
  lines.set('error', row.lastError, { level: 'error' });
}

function showCertificate(lines, key, { subject, expires, note, text }) {
  const until = text('until', { day: dayOf(expires) });
  const shown = subject === '' ? '' : `${subject} · ${until}${note}`;
  lines.set(key, shown, {
    title: `${subject}\n${expires}`,
    level: note !== '' && key === 'client' ? 'warning' : expiryLevel(expires),
  });
}

/** Empty where nothing waits and nothing is parked. */
function queueText(row, text) {
  if (row.queueLength === 0 && row.queueParked === 0) return '';
  const parked = row.queueParked === 0 ? '' : ` · ${text('outgoing.queueParked', { count: row.queueParked })}`;
  const error = row.queueError === '' ? '' : ` · ${row.queueError}`;
  return agesText(row, text) + parked + error;
}

/** Of the requests of an RA; empty where nobody listens for them. */
function requestsText({ raState, raWaiting, raWorking, raMaximum }, text) {
  if (raState === '') return '';
  const numbers = { waiting: raWaiting, working: raWorking, max: raMaximum };
  return `${text(`ra.${raState}`)} · ${text('outgoing.requestNumbers', numbers)}`;
}

function agesText(row, text) {
  return text('outgoing.queueAges', {
    length: row.queueLength,
    under1: row.queueUnder1Minute,
    under10: row.queueUnder10Minutes,
    under60: row.queueUnder60Minutes,
    over60: row.queueOver60Minutes,
  });
}

/** One synchronisation: how far it is, and its buttons. */
function syncLine(id, { text, call, mayWrite }) {
  const name = element('span', { class: 'peer-sync-name' });
  const bar = element('progress', { max: '100', 'aria-label': text('sync.progress') });
  const numbers = element('div', { class: 'peer-sync-numbers', role: 'status' });
  const act = (action) => call(`syncs/${encodeURIComponent(id)}/${action}`);
  const start = button(text('action.sync'), 'fa-play', () => act('start'));
  const dryRun = button(text('action.dryRun'), 'fa-search', () => act('dry-run'));
  const stop = button(text('action.stop'), 'fa-stop', () => act('stop'));
  const report = button(text('action.report'), 'fa-download', () => download(id));
  const buttons = element('div', { class: 'peer-buttons' }, [start, dryRun, stop, report]);
  return {
    element: element('div', { class: 'peer-sync', 'data-id': id }, [name, bar, numbers, buttons]),
    show(row, { state }) {
      setText(name, text('sync.title', { name: row.name }));
      bar.value = row.percent;
      bar.hidden = !row.isRunning;
      setText(numbers, numbersOf(row, text));
      numbers.className = `peer-sync-numbers${row.outOfSync ? ' peer-warning' : ''}`;
      const isOff = state === 'disabled' || state === 'unusable' || !mayWrite();
      for (const each of [start, dryRun]) {
        each.disabled = isOff;
        each.hidden = row.isRunning;
      }
      stop.hidden = !row.isRunning;
      report.hidden = !row.hasReport;
    },
  };
}

function numbersOf(row, text) {
  if (row.phase === 'idle') return row.error === '' ? text('phase.idle') : row.error;
  const kind = row.isDryRun ? ` (${text('action.dryRun')})` : '';
  const { percent, missing, outdated, pushed, failed } = row;
  const counts = text('sync.counts', { missing, outdated, pushed, failed });
  const share = row.isRunning ? ` ${percent} %` : '';
  const error = row.error === '' ? '' : ` · ${row.error}`;
  return `${text(`phase.${row.phase}`)}${kind}${share} · ${counts}${error}`;
}

/** Through the same request as everything else, because a link would carry no token of the user. */
async function download(id) {
  const response = await $.ajax({
    url: `peer-systems/syncs/${encodeURIComponent(id)}/report`,
    dataType: 'text',
  }).then((yaml, _status, request) => ({ yaml, disposition: request.getResponseHeader('Content-Disposition') ?? '' }));
  const [, name = 'report.yaml'] = /filename\*=UTF-8''(\S+)/.exec(response.disposition) ?? [];
  const url = URL.createObjectURL(new Blob([response.yaml], { type: 'application/yaml' }));
  const link = element('a', { href: url, download: decodeURIComponent(name) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
