/**
 * Browser code of the dialogs about key bindings: the list of served CAs, and the fields of the chosen kind of CA.
 */
import { looksLikePem } from './peer-checks.js';
import { currentValue, isUsable, rowList, showWhen, validator } from './peer-editor.js';

/** A validator for a field that only some kinds of CA need. */
function neededFor(kinds, reason) {
  return validator(function (value) {
    if (!kinds.includes(currentValue(this, 'kind'))) return true;
    return String(value ?? '').trim() !== '';
  }, reason);
}

/** A validator for the authenticator, which only an EJBCA needs. */
function authenticatorFor(reason) {
  return validator(function (value) {
    return currentValue(this, 'kind') !== 'ejbca' || isUsable(value);
  }, reason);
}

/** Shows the fields of the chosen kind; what is needed depends on it, so all fields are judged again. */
function prepareAuthority() {
  const kind = $('#node-config-input-kind');
  showWhen(kind);
  kind.on('change', () => $('.peer-form [class*="peer-when-"] :input').trigger('change'));
}

/** A served CA: a file or a pasted certificate; both write to `value`. */
function prepareBinding(node) {
  const options = ['file', 'pasted'].map((source) => [source, node._(`ocsp-keybinding.ca.${source}`)]);
  const fields = [
    {
      key: 'source',
      kind: 'select',
      options,
      value: 'file',
      label: node._('ocsp-keybinding.label.caSource'),
      width: '115px',
    },
    {
      key: 'value',
      kind: 'text',
      placeholder: node._('ocsp-keybinding.placeholder.caFile'),
      shown: ({ source }) => source === 'file',
      valid: (value) => value.trim() !== '',
    },
    {
      key: 'value',
      kind: 'pem',
      placeholder: node._('ocsp-keybinding.placeholder.caPem'),
      shown: ({ source }) => source === 'pasted',
      valid: looksLikePem,
    },
  ];
  rowList($('#node-config-input-cas-list'), { rows: node.cas, fields, add: node._('ocsp-keybinding.label.addCa') });
}

globalThis.keybindingEditor = { neededFor, authenticatorFor, prepareAuthority, prepareBinding };
