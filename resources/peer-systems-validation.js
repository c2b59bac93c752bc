/**
 * Validation authorities of this Node-RED: a card for each, with what it has answered and the key bindings that sign.
 */
import { element, facts, heading, keyedParts, setText } from './peer-systems-elements.js';
import { keyBindingColour, keyBindingLevel, keyBindingText } from './peer-systems-key-bindings.js';

/** The section; it is there only where there is a validation authority. */
export function validationList({ text }) {
  const cards = element('div', { class: 'peer-cards' });
  const update = keyedParts(cards, (id) => authorityCard(id, text));
  const section = element('section', { 'aria-label': text('validation.title'), hidden: '' }, [
    heading(text('validation.title')),
    cards,
  ]);
  return {
    element: section,
    show({ authorities, keyBindings }) {
      section.hidden = authorities.length === 0;
      update(authorities.sort(byName), keyBindings);
    },
  };
}

function byName(a, b) {
  return a.name.localeCompare(b.name);
}

function authorityCard(id, text) {
  const dot = element('span', { class: 'peer-dot', 'aria-hidden': 'true' });
  const name = element('a', { href: '#', class: 'peer-name' });
  name.addEventListener('click', (event) => {
    event.preventDefault();
    RED.view.reveal(id);
  });
  const state = element('span', { class: 'peer-state' });
  const lines = facts(['ocsp', 'crls', 'answers', 'error'].map((key) => [key, text(`validation.${key}`)]));
  const bindings = element('div', { class: 'peer-bindings', role: 'list', 'aria-label': text('action.keyBindings') });
  const update = keyedParts(bindings, () => bindingLine(text));
  const head = element('div', { class: 'peer-head' }, [dot, name, state]);
  return {
    element: element('article', { class: 'peer-card', 'data-id': id }, [head, lines.element, bindings]),
    show(row, keyBindings) {
      const own = keyBindings.filter(({ validationAuthorityId }) => validationAuthorityId === id);
      dot.className = `peer-dot peer-dot-${colourOf(row, own)}`;
      setText(name, row.name);
      setText(state, row.address === '' ? text('endpoint.off') : row.address);
      showNumbers(lines, row, text);
      update(own.sort(byName));
    },
  };
}

function colourOf({ state, error }, keyBindings) {
  if (error !== '') return 'red';
  if (state === 'off') return 'ring';
  // One that somebody has disabled is as it should be.
  const isMissing = ({ operational }) => operational === 'pending' || operational === 'unavailable';
  return keyBindings.some(isMissing) ? 'yellow' : 'green';
}

function showNumbers(lines, row, text) {
  const { ocspRequests: requests, ocspGood: good, ocspRevoked: revoked, ocspUnknown: unknown } = row;
  const { ocspErrors: errors, ocspFromCache: cached } = row;
  const ocsp = text('validation.ocspNumbers', { requests, good, revoked, unknown, errors, cached });
  lines.set('ocsp', row.servesOcsp ? ocsp : '');
  lines.set('crls', row.servesCrls ? text('validation.crlNumbers', { count: row.crls }) : '');
  const { answers, notFound, refused, failed } = row;
  lines.set('answers', text('validation.answerNumbers', { answers, notFound, refused, failed }), {
    level: failed > 0 ? 'warning' : '',
  });
  lines.set('error', row.error, { level: 'error' });
}

function bindingLine(text) {
  const dot = element('span', { class: 'peer-dot', 'aria-hidden': 'true' });
  const name = element('div', { class: 'peer-subject' });
  const note = element('div');
  const texts = element('div', { class: 'peer-binding-texts' }, [name, note]);
  return {
    element: element('div', { class: 'peer-binding', role: 'listitem' }, [dot, texts]),
    show(row) {
      dot.className = `peer-dot peer-dot-${keyBindingColour(row)}`;
      setText(name, row.name);
      setText(note, row.error === '' ? keyBindingText(row, text) : row.error);
      const level = keyBindingLevel(row);
      note.className = `peer-note${level === '' ? '' : ` peer-${level}`}`;
      note.title = [row.subjectDN, row.issuerDN, row.expires].filter(Boolean).join('\n');
    },
  };
}
