/**
 * Browser code of the dialogs about key bindings: the list of served CAs, and the fields of the chosen kind of CA.
 */
import { looksLikePem } from './peer-checks.js';
import { currentValue, isUsable, rowList, showWhen, validator } from './peer-editor.js';

/** A validator for a field that is needed where another field has one of some values. */
function neededWhere(property, values, reason) {
  return validator(function (value) {
    if (!values.includes(currentValue(this, property))) return true;
    return String(value ?? '').trim() !== '';
  }, reason);
}

/** A validator for a field that only some kinds of CA need. */
function neededFor(kinds, reason) {
  return neededWhere('kind', kinds, reason);
}

/** A validator for a field that only one type of crypto token needs. */
function tokenField(tokenType, reason) {
  return neededWhere('tokenType', [tokenType], reason);
}

/** A validator for the authenticator, which only an EJBCA needs. */
function authenticatorFor(reason) {
  return validator(function (value) {
    return currentValue(this, 'kind') !== 'ejbca' || isUsable(value);
  }, reason);
}

/** Nodes from before there was a field have what was the only way then. */
function fillMissing(node, values) {
  for (const [property, value] of Object.entries(values)) {
    if (node[property] === undefined) $(`#node-config-input-${property}`).val(value);
  }
}

/** Shows the fields that go with a choice; what is needed depends on it, so all of them are judged again. */
function prepareChoice(select) {
  showWhen(select);
  select.on('change', () => $('.peer-form [class*="peer-when-"] :input').trigger('change'));
}

function prepareAuthority(node) {
  fillMissing(node, { endEntityDays: '365' });
  prepareChoice($('#node-config-input-kind'));
}

/** A served CA: a file or a pasted certificate; both write to `value`. */
function prepareBinding(node) {
  fillMissing(node, { tokenType: 'pkcs12', slotBy: 'label' });
  prepareChoice($('#node-config-input-tokenType'));
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

globalThis.keybindingEditor = { neededFor, tokenField, authenticatorFor, prepareAuthority, prepareBinding };
