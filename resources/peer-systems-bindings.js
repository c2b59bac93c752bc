/**
 * The OCSP key bindings that a peer lets this side see, with a button to renew each.
 */

import { button, dayOf, element, setText } from './peer-systems-elements.js';

const REFRESH_MS = 1_500;
/** After a renewal was begun; a CA may take its time, but then the list can be opened again. */
const REFRESHES = 20;

/** Opens the list in a dialog. */
export async function showKeyBindings(connectorId, context) {
  const { text } = context;
  const path = `connectors/${encodeURIComponent(connectorId)}/key-bindings`;
  const list = element('div', { class: 'peer-marks' });
  let refreshes = 0;
  let timer;
  const draw = async () => {
    list.replaceChildren(...(await linesOf(path, context, onRenew)));
  };
  const onRenew = () => {
    refreshes = REFRESHES;
    clearInterval(timer);
    timer = setInterval(() => {
      refreshes -= 1;
      if (refreshes <= 0) clearInterval(timer);
      draw();
    }, REFRESH_MS);
  };
  await draw();
  const onClose = () => {
    clearInterval(timer);
    shown.close();
  };
  const close = { text: text('action.close'), class: 'primary', click: onClose };
  const shown = RED.notify($(list), { modal: true, fixed: true, buttons: [close] });
}

async function linesOf(path, context, onRenew) {
  const { text } = context;
  const found = await $.getJSON(`peer-systems/${path}`).then(
    ({ keyBindings, canRenewHere }) =>
      keyBindings.map((binding) => bindingLine({ path, binding, canRenewHere }, context, onRenew)),
    ({ responseJSON: { code = '', detail = '' } = {} }) => [textLine(`${code} ${detail}`)],
  );
  return found.length === 0 ? [textLine(text('outgoing.nothing'))] : found;
}

function bindingLine({ path, binding, canRenewHere }, { text, call, mayWrite }, onRenew) {
  const { name, status, operational, keyAlgorithm, serialNumber, expires, canRenew } = binding;
  const until = expires === '' ? '' : ` · ${serialNumber} · ${text('until', { day: dayOf(expires) })}`;
  const line = textLine(`${name} · ${operational} (${status}) · ${keyAlgorithm}${until}`);
  if (!canRenewHere || !canRenew) return line;
  const renew = button(text('action.renew'), 'fa-repeat', async () => {
    renew.disabled = true;
    if ((await call(`${path}/renew`, { name })) !== undefined) onRenew();
  });
  renew.disabled = !mayWrite();
  line.append(' ', renew);
  return line;
}

function textLine(text) {
  const words = element('span');
  setText(words, text);
  return element('div', {}, [words]);
}
