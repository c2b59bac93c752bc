/**
 * Validation authorities of this Node-RED: what they have answered, and with which keys they sign.
 */

import { dayOf, element, expiryLevel, facts, heading, keyedParts, setText } from './peer-systems-elements.js';

/** OCSP signers live for weeks and are renewed days before their end. */
const SOON_DAYS = 3;

/** The section; hidden where there is none, as on most CAs. */
export function publicList({ text }) {
  const cards = element('div', { class: 'peer-cards' });
  const update = keyedParts(cards, (id) => authorityCard(id, text));
  const section = element('section', { 'aria-label': text('public.title'), hidden: '' }, [
    heading(text('public.title')),
    cards,
  ]);
  return {
    element: section,
    show({ authorities, keyBindings }) {
      section.hidden = authorities.length === 0;
      update(
        authorities.sort((a, b) => a.name.localeCompare(b.name)),
        keyBindings,
      );
    },
  };
}

function authorityCard(id, text) {
  const dot = element('span', { class: 'peer-dot', 'aria-hidden': 'true' });
  const name = element('a', { href: '#', class: 'peer-name' });
  name.addEventListener('click', (event) => {
    event.preventDefault();
    RED.view.reveal(id);
  });
  const state = element('span', { class: 'peer-state' });
  const lines = facts(['answers', 'ocsp', 'error'].map((key) => [key, text(`public.${key}`)]));
  const bindings = element('div', { class: 'peer-syncs' });
  const updateBindings = keyedParts(bindings, (bindingId) => bindingLine(bindingId, text));
  const head = element('div', { class: 'peer-head' }, [dot, name, state]);
  return {
    element: element('article', { class: 'peer-card', 'data-id': id }, [head, lines.element, bindings]),
    show(row, keyBindings) {
      const own = keyBindings.filter(({ validationAuthorityId }) => validationAuthorityId === id);
      setText(name, row.name);
      setText(state, row.state === 'listening' ? text('endpoint.listening', { port: row.port }) : text('endpoint.off'));
      dot.className = `peer-dot peer-dot-${dotOf(row, own)}`;
      lines.set('answers', text('public.answerNumbers', row), { level: row.failed > 0 ? 'warning' : '' });
      lines.set('ocsp', row.servesOcsp ? text('public.ocspNumbers', row) : '');
      lines.set('error', row.error, { level: 'error' });
      updateBindings(own);
    },
  };
}

function dotOf({ state, error }, keyBindings) {
  if (error !== '') return 'red';
  if (state !== 'listening') return 'grey';
  return keyBindings.every(isWorking) ? 'green' : 'yellow';
}

function isWorking({ operational, expires, status }) {
  return status === 'disabled' || (operational === 'online' && expiryLevel(expires) !== 'error');
}

/** One key binding: whether it signs, and until when. */
function bindingLine(id, text) {
  const name = element('span', { class: 'peer-sync-name' });
  const lines = facts(
    ['state', 'issuerDN', 'serialNumber', 'expires', 'key'].map((key) => [key, text(`binding.${key}`)]),
  );
  return {
    element: element('div', { class: 'peer-sync', 'data-id': id }, [name, lines.element]),
    show(row) {
      setText(name, text('binding.title', { name: row.name }));
      const state = `${text(`binding.${row.operational}`)} · ${row.status}`;
      lines.set('state', state, { level: isWorking(row) ? '' : 'warning' });
      lines.set('issuerDN', row.issuerDN);
      lines.set('serialNumber', row.serialNumber);
      lines.set('expires', dayOf(row.expires), { title: row.expires, level: expiryLevel(row.expires, SOON_DAYS) });
      lines.set('key', [row.keyAlgorithm, row.cryptoToken].filter(Boolean).join(' · '));
    },
  };
}
