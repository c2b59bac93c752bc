/**
 * Browser code of the remote authenticator's dialog: the fields of the chosen source, and the trust list.
 */
import { isSerialNumber, looksLikePem } from './peer-checks.js';
import { currentValue, isUsable, rowList, secretArea, showWhen, validator } from './peer-editor.js';

/** A validator for a field that only one source needs. */
function neededFor(source) {
  return validator(function (value) {
    if (currentValue(this, 'source') !== source) return true;
    return source === 'tls-config' ? isUsable(value) : String(value ?? '').trim() !== '';
  }, `remote-authenticator.invalid.${source}`);
}

function prepare(node) {
  const source = $('#node-config-input-source');
  showWhen(source);
  // What is needed depends on the source, so all fields are judged again.
  source.on('change', () => $('.peer-form [class*="peer-when-"] :input').trigger('change'));
  const texts = {
    stored: node._('remote-authenticator.label.stored'),
    replace: node._('remote-authenticator.label.replace'),
  };
  secretArea($('#node-config-input-certificate'), texts);
  secretArea($('#node-config-input-key'), texts);
  const add = node._('remote-authenticator.label.addTrust');
  rowList($('#node-config-input-trust-list'), { rows: node.trust, fields: trustFields(node), add });
}

/** A trusted CA: a file or a pasted certificate; both write to `value`, so the pasted one has a name of its own here. */
function trustFields(node) {
  const options = ['file', 'pasted'].map((source) => [source, node._(`remote-authenticator.trust.${source}`)]);
  return [
    {
      key: 'source',
      kind: 'select',
      options,
      value: 'file',
      label: node._('remote-authenticator.label.trustSource'),
      width: '115px',
    },
    {
      key: 'value',
      kind: 'text',
      placeholder: node._('remote-authenticator.placeholder.trustFile'),
      shown: ({ source }) => source === 'file',
      valid: (value) => value.trim() !== '',
    },
    {
      key: 'value',
      kind: 'pem',
      placeholder: node._('remote-authenticator.placeholder.trustPem'),
      shown: ({ source }) => source === 'pasted',
      valid: looksLikePem,
    },
    {
      key: 'serialNumber',
      kind: 'text',
      placeholder: node._('remote-authenticator.placeholder.serialNumber'),
      width: '160px',
      valid: isSerialNumber,
    },
  ];
}

globalThis.authenticatorEditor = { neededFor, prepare };
