/**
 * Incoming connections: a list that draws only the rows in sight, and the details of the chosen one.
 */

import { ROLE_TEMPLATES } from './peer-checks.js';
import {
  button,
  dayOf,
  element,
  expiryLevel,
  facts,
  fillSelect,
  heading,
  setText,
  timeOf,
} from './peer-systems-elements.js';
import { addToRole, createRole, editRole, rolesOfEndpoint } from './peer-systems-roles.js';

const ROW_PX = 42;
const SPARE_ROWS = 6;

/** The section. */
export function incomingList(context) {
  const { text } = context;
  const endpoints = element('div', { class: 'peer-endpoints' });
  const filter = element('input', {
    type: 'search',
    class: 'peer-filter',
    placeholder: text('incoming.filter'),
    'aria-label': text('incoming.filter'),
  });
  const none = element('p', { class: 'peer-none' });
  const details = peerDetails(context);
  const list = virtualList({ text, onChoose: (row) => details.show(row) });
  let peers = [];
  const show = () => {
    const wanted = filter.value.trim().toLowerCase();
    const fits = ({ subjectDN, address, roles, endpoint, peerId }) =>
      [subjectDN, address, roles, endpoint, peerId].some((field) => field.toLowerCase().includes(wanted));
    list.show(wanted === '' ? peers : peers.filter(fits));
  };
  filter.addEventListener('input', show);
  const parts = [heading(text('incoming.title')), endpoints, none, filter, list.element, details.element];
  return {
    element: element('section', { 'aria-label': text('incoming.title') }, parts),
    show(state) {
      peers = state.peers.sort((a, b) => (a.lastSeen < b.lastSeen ? 1 : a.lastSeen > b.lastSeen ? -1 : 0));
      showEndpoints(endpoints, state, text);
      setText(none, text(state.endpoints.length === 0 ? 'incoming.noEndpoint' : 'incoming.none'));
      none.hidden = peers.length > 0;
      filter.hidden = peers.length < 8;
      list.element.hidden = peers.length === 0;
      show();
    },
  };
}

function showEndpoints(container, { endpoints, switches }, text) {
  const lines = endpoints.map((row) => {
    if (row.error !== '') return { row, level: 'error', state: row.error };
    if (row.state === 'listening') return { row, level: '', state: text('endpoint.listening', { port: row.port }) };
    const why = !row.isConfigured ? 'endpoint.offNode' : switches.incoming ? 'endpoint.off' : 'endpoint.offSwitch';
    return { row, level: 'warning', state: text(why) };
  });
  const wanted = JSON.stringify(lines.map(({ row, state }) => [row.name, state]));
  if (container.dataset.shown === wanted) return;
  container.dataset.shown = wanted;
  container.replaceChildren(
    ...lines.map(({ row, level, state }) => {
      const line = element('div', { class: level === '' ? '' : `peer-${level}` });
      setText(line, `${row.name}: ${state}`);
      return line;
    }),
  );
}

/** A list box of thousands of rows: as many elements as fit into it. */
function virtualList({ text, onChoose }) {
  const space = element('div', { class: 'peer-list-space' });
  const list = element('div', {
    class: 'peer-list',
    role: 'listbox',
    tabindex: '0',
    'aria-label': text('incoming.title'),
  });
  list.append(space);
  const drawn = new Map();
  let rows = [];
  let chosen = '';

  const draw = () => {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW_PX) - SPARE_ROWS);
    const last = Math.min(rows.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW_PX) + SPARE_ROWS);
    const gone = new Set(drawn.keys());
    for (let index = first; index < last; index++) {
      const row = rows[index];
      gone.delete(row.id);
      if (!drawn.has(row.id))
        drawn.set(
          row.id,
          peerLine(space, () => choose(row.id)),
        );
      drawn.get(row.id).show(row, { index, count: rows.length, isChosen: row.id === chosen, text });
    }
    for (const id of gone) {
      drawn.get(id).element.remove();
      drawn.delete(id);
    }
    list.setAttribute('aria-activedescendant', drawn.has(chosen) ? drawn.get(chosen).element.id : '');
  };
  const choose = (id) => {
    chosen = id;
    draw();
    onChoose(rows.find((row) => row.id === id));
  };
  const move = (index) => {
    const target = Math.min(Math.max(index, 0), rows.length - 1);
    if (target < 0) return;
    const top = target * ROW_PX;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW_PX > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW_PX - list.clientHeight;
    choose(rows[target].id);
  };
  const KEYS = { ArrowDown: 1, ArrowUp: -1, PageDown: 6, PageUp: -6, Home: -Infinity, End: Infinity };
  list.addEventListener('keydown', (event) => {
    const step = KEYS[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const at = rows.findIndex((row) => row.id === chosen);
    move(at === -1 && Number.isFinite(step) ? 0 : at + step);
  });
  list.addEventListener('scroll', draw, { passive: true });
  new ResizeObserver(draw).observe(list);
  return {
    element: list,
    show(wanted) {
      rows = wanted;
      space.style.height = `${rows.length * ROW_PX}px`;
      list.style.height = `${Math.min(rows.length, 6) * ROW_PX + 2}px`;
      draw();
      onChoose(rows.find((row) => row.id === chosen));
    },
  };
}

let lines = 0;

function peerLine(space, onClick) {
  const dot = element('span', { class: 'peer-dot', 'aria-hidden': 'true' });
  const subject = element('div', { class: 'peer-subject' });
  const note = element('div', { class: 'peer-note' });
  const made = element('div', { class: 'peer-line', role: 'option', id: `peer-line-${++lines}` }, [
    dot,
    element('div', { class: 'peer-line-texts' }, [subject, note]),
  ]);
  made.addEventListener('click', onClick);
  space.append(made);
  return {
    element: made,
    show(row, { index, count, isChosen, text }) {
      made.style.transform = `translateY(${index * ROW_PX}px)`;
      made.setAttribute('aria-selected', String(isChosen));
      made.setAttribute('aria-setsize', String(count));
      made.setAttribute('aria-posinset', String(index + 1));
      dot.className = `peer-dot peer-dot-${COLOURS[row.state]}`;
      setText(subject, row.subjectDN || row.address);
      const what = row.state === 'admitted' ? row.roles : text(`peer.${row.state}`);
      setText(
        note,
        [what, row.state === 'refused' ? row.lastRefusal : row.lastOperation, timeOf(row.lastSeen)]
          .filter(Boolean)
          .join(' · '),
      );
    },
  };
}

const COLOURS = { admitted: 'green', seen: 'ring', refused: 'red', blocked: 'grey' };
const KEYS_OF_FACTS = [
  'subjectDN',
  'issuerDN',
  'serialNumber',
  'peerId',
  'expires',
  'address',
  'endpoint',
  'roles',
  'counts',
  'lastOperation',
  'lastRefusal',
  'firstSeen',
  'lastSeen',
];

/** What is known of one peer, and what can be done about it. */
function peerDetails({ text, call, mayWrite }) {
  const shown = facts(KEYS_OF_FACTS.map((key) => [key, text(`peer.${key}`)]));
  const template = element('select', { 'aria-label': text('action.template') });
  const role = element('select', { 'aria-label': text('action.role') });
  let row;
  const act = (action) => call(`endpoints/${encodeURIComponent(row.endpointId)}/${action}`, { peer: row.peerId });
  const create = button(text('action.createRole'), 'fa-plus', () => createRole(row, template.value, text));
  const add = button(text('action.addToRole'), 'fa-user-plus', () => addToRole(row, role.value, text));
  const modify = button(text('action.modifyRole'), 'fa-pencil', () => editRole(role.value));
  const refuse = button('', 'fa-ban', () => act(row.state === 'blocked' ? 'admit' : 'refuse'));
  const forget = button(text('action.forget'), 'fa-eraser', () => act('forget'));
  const creation = element('div', { class: 'peer-buttons' }, [template, create]);
  const membership = element('div', { class: 'peer-buttons' }, [role, add, modify]);
  const standing = element('div', { class: 'peer-buttons' }, [refuse, forget]);
  fillSelect(
    template,
    Object.keys(ROLE_TEMPLATES).map((key) => [key, text(`template.${key}`)]),
  );
  const made = element('div', { class: 'peer-details', hidden: '' }, [shown.element, creation, membership, standing]);
  return {
    element: made,
    show(wanted) {
      row = wanted;
      made.hidden = row === undefined;
      if (row === undefined) return;
      showPeer(shown, row, text);
      // Who has no certificate that was verified cannot belong to a role.
      const hasCertificate = row.issuerDN !== '';
      const roles = rolesOfEndpoint(row.endpointId);
      fillSelect(
        role,
        roles.map(({ id, name }) => [id, name || id]),
      );
      const mayEdit = mayWrite('flows.write');
      creation.hidden = !hasCertificate || !mayEdit;
      membership.hidden = !hasCertificate || !mayEdit || roles.length === 0;
      refuse.hidden = !hasCertificate;
      setText(refuse.lastChild, text(row.state === 'blocked' ? 'action.admit' : 'action.refuse'));
      for (const each of [refuse, forget]) each.disabled = !mayWrite();
    },
  };
}

function showPeer(shown, row, text) {
  for (const key of [
    'subjectDN',
    'issuerDN',
    'serialNumber',
    'peerId',
    'address',
    'endpoint',
    'roles',
    'lastOperation',
  ]) {
    shown.set(key, row[key]);
  }
  const { connections, requests, refusals } = row;
  shown.set('expires', dayOf(row.expires), { level: expiryLevel(row.expires) });
  shown.set('counts', text('peer.numbers', { connections, requests, refusals }));
  shown.set('lastRefusal', row.lastRefusal, { level: row.state === 'refused' ? 'error' : '' });
  shown.set('firstSeen', timeOf(row.firstSeen));
  shown.set('lastSeen', timeOf(row.lastSeen));
}
