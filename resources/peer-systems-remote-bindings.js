/**
 * The OCSP key bindings of a peer, in the card of its connector: asked for when they are opened, each with its renewal.
 */
import { button, element, keyedParts, setText, timeOf } from './peer-systems-elements.js';
import { keyBindingColour, keyBindingLevel, keyBindingText } from './peer-systems-key-bindings.js';

const STEPS = ['key', 'csr', 'issued', 'delivered', 'activated'];

/** The button that opens and closes the list, and the list. */
export function remoteBindings(connectorId, context) {
  const { text } = context;
  const url = `peer-systems/connectors/${encodeURIComponent(connectorId)}/key-bindings`;
  const note = element('p', { class: 'peer-none', role: 'status' });
  const lines = element('div', { role: 'list', 'aria-label': text('action.keyBindings') });
  const list = element('div', { class: 'peer-bindings', hidden: '' }, [note, lines]);
  const toggle = button(text('action.keyBindings'), 'fa-key', () => open(list.hidden));
  toggle.setAttribute('aria-expanded', 'false');
  const update = keyedParts(lines, (name) => bindingLine(name, context));
  let bindings = [];
  let shown = { renewers: [], renewals: [], isOff: false };

  const open = (isOpen) => {
    list.hidden = !isOpen;
    toggle.setAttribute('aria-expanded', String(isOpen));
    if (isOpen) ask();
  };
  const ask = async () => {
    try {
      bindings = await $.getJSON(url);
      setText(note, bindings.length === 0 ? text('outgoing.nothing') : '');
    } catch ({ responseJSON: { code = '', detail = '' } = {} }) {
      bindings = [];
      setText(note, `${code} ${detail}`);
    }
    note.hidden = note.textContent === '';
    draw();
  };
  const draw = () => {
    const rows = bindings.map((binding) => ({ ...binding, id: binding.name }));
    update(
      rows.sort((a, b) => a.name.localeCompare(b.name)),
      shown,
    );
  };
  return {
    toggle,
    element: list,
    /** @param state `renewers` that serve the peer, `renewals` over its connector, and whether it `isOff` */
    show(state) {
      const ended = (renewals) => renewals.map(({ id, endedAt }) => `${id} ${endedAt}`).join();
      const isNews = ended(state.renewals) !== ended(shown.renewals) && state.renewals.some(({ endedAt }) => endedAt);
      shown = state;
      if (list.hidden) return;
      // Nobody can be asked then, and what was said before may have changed since.
      if (state.isOff) return open(false);
      // What has been renewed has another certificate.
      if (isNews) ask();
      draw();
    },
  };
}

function bindingLine(name, { text, call, mayWrite }) {
  const dot = element('span', { class: 'peer-dot', 'aria-hidden': 'true' });
  const title = element('div', { class: 'peer-subject' });
  const note = element('div');
  const bar = element('progress', { max: STEPS.length, 'aria-label': text('renewal.progress'), hidden: '' });
  const result = element('div', { role: 'status' });
  const buttons = element('div', { class: 'peer-buttons' });
  const update = keyedParts(buttons, (renewerId) => renewButton(renewerId, { name, text, call }));
  const texts = element('div', { class: 'peer-binding-texts' }, [title, note, bar, result]);
  return {
    element: element('div', { class: 'peer-binding', role: 'listitem' }, [dot, texts, buttons]),
    show(binding, { renewers, renewals, isOff }) {
      dot.className = `peer-dot peer-dot-${keyBindingColour(binding)}`;
      setText(title, name);
      setText(note, keyBindingText(binding, text));
      note.className = `peer-note ${classOf(keyBindingLevel(binding))}`;
      note.title = [binding.subjectDN, binding.issuerDN, binding.expires].filter(Boolean).join('\n');
      const renewal = renewals.findLast((each) => each.binding === name);
      const isUnderway = renewal?.outcome === '';
      bar.hidden = !isUnderway;
      bar.value = STEPS.indexOf(renewal?.step) + 1;
      setText(result, renewal === undefined ? '' : renewalText(renewal, text));
      result.className = `peer-note ${classOf(renewal?.outcome === 'failed' ? 'error' : '')}`;
      const cannot = binding.canRenew ? '' : text('renewal.cannot');
      update(renewers, { isAlone: renewers.length === 1, isOff: isOff || isUnderway || !mayWrite(), cannot });
    },
  };
}

function classOf(level) {
  return level === '' ? '' : `peer-${level}`;
}

function renewalText({ step, outcome, code, detail, endedAt }, text) {
  if (outcome === 'renewed') return text('renewal.renewed', { time: timeOf(endedAt) });
  if (outcome === 'failed') return `${text('renewal.failed', { time: timeOf(endedAt) })} · ${code} · ${detail}`;
  return step === '' ? text('renewal.begun') : text(`renewal.step.${step}`);
}

/** One for each node that renews the key bindings of this peer; they may have different CAs. */
function renewButton(renewerId, { name, text, call }) {
  let isAsking = false;
  let mayNot = false;
  const renew = button('', 'fa-repeat', async () => {
    isAsking = true;
    renew.disabled = true;
    await call(`renewers/${encodeURIComponent(renewerId)}/renew`, { keyBinding: name });
    isAsking = false;
    renew.disabled = mayNot;
  });
  return {
    element: renew,
    show(renewer, { isAlone, isOff, cannot }) {
      setText(renew.lastChild, isAlone ? text('action.renew') : text('action.renewBy', { name: renewer.name }));
      renew.title = cannot || text('renewal.issuedBy', { authority: renewer.authority });
      mayNot = isOff || cannot !== '';
      renew.disabled = mayNot || isAsking;
    },
  };
}
