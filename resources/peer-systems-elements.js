/**
 * Small parts of the sidebar. Texts are set as text, never as markup, whoever wrote them.
 */

/** Makes an element with attributes and children. */
export function element(name, attributes = {}, children = []) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Sets a text unless it stands there already: what does not change costs nothing. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** A heading of a section. */
export function heading(text) {
  const made = element('h3');
  setText(made, text);
  return made;
}

/** A small button as the editor has them. */
export function button(text, icon, onClick) {
  const label = element('span');
  setText(label, text);
  const made = element('button', { type: 'button', class: 'red-ui-button red-ui-button-small' }, [
    element('i', { class: `fa ${icon}`, 'aria-hidden': 'true' }),
    label,
  ]);
  made.addEventListener('click', (event) => {
    event.preventDefault();
    onClick();
  });
  return made;
}

/** A select of [value, text] pairs; keeps what is chosen when the pairs change. */
export function fillSelect(select, options) {
  const wanted = JSON.stringify(options);
  if (select.dataset.options === wanted) return;
  select.dataset.options = wanted;
  const { value } = select;
  select.replaceChildren(
    ...options.map(([key, text]) => {
      const option = element('option', { value: key });
      setText(option, text);
      return option;
    }),
  );
  if (options.some(([key]) => key === value)) select.value = value;
}

/** A list of terms and their values; a value that is empty hides its line. */
export function facts(terms) {
  const list = element('dl', { class: 'peer-facts' });
  const lines = new Map(
    terms.map(([key, text]) => {
      const [term, value] = [element('dt'), element('dd')];
      setText(term, text);
      list.append(term, value);
      return [key, { term, value }];
    }),
  );
  return {
    element: list,
    set(key, text, { title = '', level = '' } = {}) {
      const { term, value } = lines.get(key);
      setText(value, text);
      value.title = title;
      value.className = level === '' ? '' : `peer-${level}`;
      term.hidden = text === '';
      value.hidden = text === '';
    },
  };
}

/** Keeps one part per row, in the order of the rows. @param make gives a part with `element` and `show(row)` */
export function keyedParts(container, make) {
  const parts = new Map();
  return (rows, context) => {
    const gone = new Set(parts.keys());
    let previous = null;
    for (const row of rows) {
      gone.delete(row.id);
      if (!parts.has(row.id)) parts.set(row.id, make(row.id));
      const part = parts.get(row.id);
      part.show(row, context);
      const place = previous === null ? container.firstElementChild : previous.nextElementSibling;
      if (place !== part.element) container.insertBefore(part.element, place);
      previous = part.element;
    }
    for (const id of gone) {
      parts.get(id).element.remove();
      parts.delete(id);
    }
  };
}

const DAY_MS = 86_400_000;
const SOON_DAYS = 30;

/** Time of today, or day and time, in the language of the editor. */
export function timeOf(iso) {
  if (iso === '') return '';
  const date = new Date(iso);
  const language = RED.i18n.lang();
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? date.toLocaleTimeString(language) : date.toLocaleString(language);
}

/** A day in the language of the editor. */
export function dayOf(iso) {
  return iso === '' ? '' : new Date(iso).toLocaleDateString(RED.i18n.lang());
}

/** How urgent the end of a certificate is: '' = not, 'warning' = soon, 'error' = over. @param soonDays what is soon */
export function expiryLevel(iso, soonDays = SOON_DAYS) {
  if (iso === '') return '';
  const left = Date.parse(iso) - Date.now();
  if (left < 0) return 'error';
  return left < soonDays * DAY_MS ? 'warning' : '';
}
