/**
 * The sidebar tab "Peer systems": fetches what has changed and hands it to the parts that show it.
 *
 * While the tab is hidden nothing is fetched; when it is shown again, only what has changed since.
 */

import { element, heading, setText } from './peer-systems-elements.js';
import { incomingList } from './peer-systems-incoming.js';
import { outgoingList } from './peer-systems-outgoing.js';
import { validationList } from './peer-systems-validation.js';

const TAB = 'peer-systems';
const TOPIC = 'peer-systems/changed';
const KEEP_ALIVE_MS = 20_000;
const SECTIONS = [
  'outgoing',
  'syncs',
  'endpoints',
  'incoming',
  'validationAuthorities',
  'keyBindings',
  'renewers',
  'renewals',
];

/** Adds the tab. @param text gives the translated text of a key */
export function addSidebar(text) {
  const state = { version: '', rows: new Map(SECTIONS.map((section) => [section, new Map()])), switches: {} };
  const context = { text, call: (path, body) => call(path, body, text), mayWrite };
  const parts = {
    head: head(context),
    outgoing: outgoingList(context),
    incoming: incomingList(context),
    validation: validationList(context),
  };
  const content = element(
    'div',
    { class: 'peer-systems' },
    Object.values(parts).map((part) => part.element),
  );
  const feed = new Feed(state, () => show(state, parts));
  RED.sidebar.addTab({
    id: TAB,
    label: text('tab'),
    name: text('title'),
    iconClass: 'fa fa-exchange',
    content,
    enableOnEdit: true,
    action: 'peer-systems:show',
    onchange: () => feed.open(),
    onremove: () => feed.close(),
  });
  RED.actions.add('peer-systems:show', () => RED.sidebar.show(TAB));
  RED.comms.subscribe(TOPIC, () => feed.changed());
  // For the dialog of a role, which offers them to look at their rights.
  globalThis.peerSystems = { incoming: () => [...state.rows.get('incoming').values()] };
  new ResizeObserver(() => (content.offsetParent === null ? feed.close() : feed.open())).observe(content);
  document.addEventListener('visibilitychange', () => feed.changed());
}

function mayWrite(permission = 'peer-systems.write') {
  return RED.user.hasPermission(permission);
}

function show({ rows, switches, hasAdminAuth }, parts) {
  const list = (section) => [...rows.get(section).values()];
  parts.head.show({ switches, hasAdminAuth });
  const [syncs, renewers, renewals] = [list('syncs'), list('renewers'), list('renewals')];
  parts.outgoing.show({ connectors: list('outgoing'), syncs, renewers, renewals, switches });
  parts.incoming.show({ peers: list('incoming'), endpoints: list('endpoints'), switches });
  parts.validation.show({ authorities: list('validationAuthorities'), keyBindings: list('keyBindings') });
}

/** Banner and global switches. */
function head({ text, call: send, mayWrite: may }) {
  const banner = element('div', { class: 'peer-banner', role: 'note', hidden: '' });
  setText(banner, text('noAdminAuth'));
  const toggle = (name) => {
    const input = element('input', { type: 'checkbox', role: 'switch', id: `peer-systems-${name}` });
    input.addEventListener('change', () => {
      const wanted = input.checked;
      // It shows what is, not what is wished for; the answer brings the rest.
      input.checked = !wanted;
      send('switches', { [name]: wanted });
    });
    const label = element('label', { class: 'peer-switch', for: input.id }, [input, element('span')]);
    setText(label.lastChild, text(`switch.${name}`));
    return { input, label };
  };
  const toggles = { outgoing: toggle('outgoing'), incoming: toggle('incoming') };
  const switches = element('div', { class: 'peer-switches' }, [toggles.outgoing.label, toggles.incoming.label]);
  return {
    element: element('section', {}, [banner, heading(text('switch.title')), switches]),
    show(state) {
      banner.hidden = state.hasAdminAuth !== false;
      for (const [name, { input }] of Object.entries(toggles)) {
        input.checked = state.switches[name] === true;
        input.disabled = !may();
      }
    },
  };
}

/** Asks for changes: once when told that there are some, and now and then, so that the runtime knows of this tab. */
class Feed {
  #state;
  #onChange;
  #isOpen = false;
  #isAsking = false;
  #isStale = true;
  #timer;

  constructor(state, onChange) {
    this.#state = state;
    this.#onChange = onChange;
  }

  open() {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#timer = setInterval(() => this.changed(), KEEP_ALIVE_MS);
    this.changed();
  }

  close() {
    this.#isOpen = false;
    clearInterval(this.#timer);
  }

  changed() {
    this.#isStale = true;
    if (this.#isOpen && !this.#isAsking && document.visibilityState === 'visible') this.#ask();
  }

  async #ask() {
    this.#isAsking = true;
    try {
      while (this.#isStale && this.#isOpen) {
        this.#isStale = false;
        this.#apply(await $.getJSON('peer-systems/overview', { since: this.#state.version }));
      }
    } catch {
      // The editor says itself that it has lost the runtime; the next keep-alive asks again.
    } finally {
      this.#isAsking = false;
    }
  }

  #apply({ version, isWhole, sections, switches, hasAdminAuth }) {
    const { rows } = this.#state;
    for (const section of SECTIONS) {
      const known = rows.get(section);
      if (isWhole) known.clear();
      for (const id of sections[section].removed) known.delete(id);
      for (const row of sections[section].changed) known.set(row.id, row);
    }
    Object.assign(this.#state, { version, switches, hasAdminAuth });
    this.#onChange();
  }
}

/** Calls an action of the runtime; a failure is shown as the editor shows its own. */
async function call(path, body, text) {
  try {
    const options = { method: 'POST', url: `peer-systems/${path}`, contentType: 'application/json' };
    return await $.ajax({ ...options, data: JSON.stringify(body ?? {}) });
  } catch (response) {
    const { code = '', detail = response.statusText } = response.responseJSON ?? {};
    const shown = element('span');
    setText(shown, text('failed', { code }));
    RED.notify($('<div>').append(shown, $('<div>').text(detail)), 'error');
    return undefined;
  }
}
