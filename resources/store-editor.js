/**
 * Browser code of the certificate store's dialog: the fields of the chosen kind.
 */
import { isWholeNumber } from './peer-checks.js';
import { currentValue, showWhen, validator } from './peer-editor.js';

const USUAL_PORTS = { mysql: '3306', postgres: '5432' };

/** A validator for a text that only some kinds need. */
function neededFor(kinds, field) {
  return validator(function (value) {
    return !kinds.includes(kindOf(this)) || String(value ?? '').trim() !== '';
  }, `certificate-store.invalid.${field}`);
}

function portFor(kinds) {
  return validator(function (value) {
    return !kinds.includes(kindOf(this)) || isWholeNumber(value, 1, 65_535);
  }, 'certificate-store.invalid.port');
}

/** What the dialog shows now, or what the node has. */
function kindOf(node) {
  return currentValue(node, 'kind');
}

function prepare() {
  const kind = $('#node-config-input-kind');
  const dialect = $('#node-config-input-dialect');
  const port = $('#node-config-input-port');
  showWhen(kind);
  // A port that somebody chose stays.
  const suggestPort = () => {
    const isUsual = ['', ...Object.values(USUAL_PORTS)].includes(String(port.val()));
    const usual = USUAL_PORTS[kind.val() === 'postgres' ? 'postgres' : dialect.val()];
    if (isUsual && kind.val() !== 'sqlite') port.val(usual);
  };
  kind.add(dialect).on('change', () => {
    suggestPort();
    // What is needed depends on the kind, so all fields are judged again.
    $('.peer-form [class*="peer-when-"] :input').not(dialect).trigger('change');
  });
}

globalThis.storeEditor = { neededFor, portFor, prepare };
