/**
 * Browser code of the dialogs: choosing several config nodes, lists of rows, stored secrets, checks of fields.
 *
 * Loaded by the dialogs as a module, so that it runs once; they reach it as `peerEditor`.
 * What users or peers wrote is set as text, never as markup.
 */
import * as checks from './peer-checks.js';

const NONE = '_ADD_';
const STORED_SECRET = '__PWRD__';

function prefixOf(node) {
  return node._def.category === 'config' ? 'node-config-input' : 'node-input';
}

/** What a field holds now: in the open dialog of this very node, else in the node. */
export function currentValue(node, property) {
  const [edited] = RED.editor.getEditStack().slice(-1);
  const input = $(`#${prefixOf(node)}-${property}`);
  return edited === node && input.length > 0 ? input.val() : node[property];
}

/** A validator: gives true, or the translated reason. Node-RED shows reasons of functions with two parameters only. */
export function validator(isValid, reason, values) {
  return function (value, _options) {
    return isValid.call(this, value) || this._(reason, values);
  };
}

/**
 * A validator for a whole number.
 *
 * @param initial what the runtime takes where a flow was made before there was this field
 */
function wholeNumber(reason, min, max, initial) {
  return validator((value) => checks.isWholeNumber(value ?? initial, min, max), reason, { min, max });
}

/** A validator for a reference to one config node that is there and complete. */
function configNode(reason) {
  return validator((id) => isUsable(id), reason);
}

export function isUsable(id) {
  const node = typeof id === 'string' ? RED.nodes.node(id) : undefined;
  return Boolean(node) && node.valid !== false;
}

/** Validator of the store of a publisher: a queue needs one. */
function publishStore(id, _options) {
  if (currentValue(this, 'mode') === 'direct') return true;
  return isUsable(id) || this._(`${this.type.replace(/^peer-/, '')}.invalid.store`);
}

/**
 * Whether every id of a list is that of a config node that is there. An incomplete one is marked itself; the editor
 * would not judge the list again when it is completed.
 */
function allExist(ids) {
  return Array.isArray(ids) && ids.every((id) => Boolean(RED.nodes.node(id)));
}

/** Shows what belongs to the chosen value of a select: elements with class `peer-when-<value>`; hides its siblings. */
export function showWhen(select) {
  const values = select
    .find('option')
    .get()
    .map((option) => option.value);
  const show = () => {
    for (const value of values) $(`.peer-when-${value}`).hide();
    $(`.peer-when-${select.val()}`).show();
  };
  select.on('change', show);
  show();
}

/**
 * A check-box list of the config nodes of a type, with buttons to edit each and to add one.
 *
 * @param texts translated: `none` (there is no such node yet), `edit`, `add`
 */
function nodeList(node, property, { type, texts }) {
  const prefix = prefixOf(node);
  const box = $(`#${prefix}-${property}-list`).addClass('peer-node-list');
  const chosen = new Set(node[property]);
  const openDialog = (id) => RED.editor.editConfig(`${property}-picker`, type, id, prefix, node);
  let known = new Set();
  const show = () => {
    const nodes = selectableNodes(type, chosen);
    known = new Set(nodes.map(({ id }) => id));
    box.empty();
    if (nodes.length === 0) $('<div class="peer-node-none">').text(texts.none).appendTo(box);
    for (const each of nodes)
      nodeRow(each, { chosen, title: texts.edit, edit: () => openDialog(each.id) }).appendTo(box);
  };
  const add = $('<button type="button" class="red-ui-button red-ui-button-small"><i class="fa fa-plus"></i> </button>');
  add.append(document.createTextNode(texts.add)).on('click', () => openDialog(NONE));
  // Node-RED refills this select and names the new node in it when the dialog of a config node closes.
  const picker = $('<select>', { id: `${prefix}-${property}-picker` }).hide();
  picker.on('change', () => {
    const id = picker.val();
    if (id && id !== NONE && !known.has(id)) chosen.add(id);
    show();
  });
  box.data('chosen', chosen).after(add, picker);
  show();
}

function selectableNodes(type, chosen) {
  const nodes = [];
  RED.nodes.eachConfig((node) => {
    const isInReach = !node.z || node.z === RED.workspaces.active();
    if (node.type === type && (isInReach || chosen.has(node.id))) nodes.push(node);
  });
  return nodes.sort((a, b) => labelOf(a).localeCompare(labelOf(b)));
}

function labelOf(node) {
  return String(RED.utils.getNodeLabel(node, node.id));
}

function nodeRow(node, { chosen, title, edit }) {
  const box = $('<input type="checkbox">').prop('checked', chosen.has(node.id));
  box.on('change', () => (box.prop('checked') ? chosen.add(node.id) : chosen.delete(node.id)));
  const label = $('<label>').append(box, $('<span>').text(labelOf(node)));
  const button = $(
    '<button type="button" class="red-ui-button red-ui-button-small"><i class="fa fa-pencil"></i></button>',
  );
  button.attr({ title, 'aria-label': `${title}: ${labelOf(node)}` }).on('click', edit);
  return $('<div class="peer-node">').append(label, button);
}

/** The ids checked in a list; those of nodes that are gone are left out. */
function chosenNodes(node, property) {
  const chosen = $(`#${prefixOf(node)}-${property}-list`).data('chosen');
  return [...chosen].filter((id) => Boolean(RED.nodes.node(id)));
}

/**
 * An editable list of rows with named fields.
 *
 * @param fields for each: `key`, `kind` ('select', 'text' or 'pem'), `value` (default), and where wanted
 *   `options` ([value, text] pairs), `placeholder`, `label`, `width` (CSS), `shown(row)`, `valid(value)`,
 *   `suggestions` (texts); two fields may have one key when only one of them is shown
 */
export function rowList(list, { rows, fields, add }) {
  list.editableList({
    removable: true,
    addButton: add,
    height: 'auto',
    addItem: (box, _index, row) => fillRow(box, row, fields),
  });
  list.data('fields', fields);
  addRows(list, rows ?? []);
}

function addRows(list, rows) {
  for (const row of rows) list.editableList('addItem', { ...row });
}

/** The rows of a list as they stand, without fields that do not apply. */
export function readRows(list) {
  const rows = list.editableList('items').get();
  return rows.map((box) => {
    $(box).data('update')();
    return cleanRow($(box).data('data'), list.data('fields'));
  });
}

function cleanRow(row, fields) {
  const clean = {};
  for (const { key, shown } of fields) {
    const applies = shown === undefined || shown(row);
    clean[key] = applies ? String(row[key] ?? '').trim() : (clean[key] ?? '');
  }
  return clean;
}

export function replaceRows(list, rows) {
  list.editableList('empty');
  addRows(list, rows);
}

function fillRow(box, row, fields) {
  box.addClass('peer-row');
  const inputs = fields.map((field) => {
    row[field.key] ??= field.value ?? '';
    const applies = field.shown === undefined || field.shown(row);
    return {
      ...field,
      input: rowInput(field)
        .val(applies ? row[field.key] : '')
        .appendTo(box),
    };
  });
  const update = () => {
    for (const { key, input, shown, valid } of inputs) {
      const isShown = shown === undefined || shown(row);
      if (isShown) row[key] = input.val();
      input.toggle(isShown).toggleClass('input-error', isShown && valid !== undefined && !valid(row[key]));
    }
  };
  for (const { input } of inputs) input.on('input change', update);
  // A suggestion taken by key changes the field without an event, so the row is read once more when it is saved.
  box.data('update', update);
  update();
}

const ROW_INPUTS = {
  select: '<select>',
  text: '<input type="text">',
  pem: '<textarea rows="5" spellcheck="false" class="peer-pem">',
};

function rowInput({ kind, options = [], placeholder = '', label = placeholder, width, suggestions }) {
  const input = $(ROW_INPUTS[kind]).attr({ placeholder, 'aria-label': label, title: label });
  if (width !== undefined) input.css({ flex: `0 0 ${width}`, width });
  for (const [value, text] of options) $('<option>').attr('value', value).text(text).appendTo(input);
  if (suggestions !== undefined) {
    input.autoComplete({ minLength: 0, search: (text) => checks.suggest(suggestions, text).map(suggestion) });
  }
  return input;
}

function suggestion(value) {
  return { value, label: $('<div>').text(value) };
}

/** A text area for a secret: while one is stored it says so and offers to replace it. */
export function secretArea(area, texts) {
  if (area.val() !== STORED_SECRET) return;
  const note = $('<span class="peer-stored"><i class="fa fa-lock"></i> </span>').append(
    document.createTextNode(texts.stored),
  );
  const replace = $('<button type="button" class="red-ui-button red-ui-button-small">').text(texts.replace);
  replace.on('click', () => {
    note.remove();
    area.val('').show().trigger('focus');
  });
  area.hide().after(note.append(replace));
}

globalThis.peerEditor = {
  ...checks,
  currentValue,
  validator,
  wholeNumber,
  configNode,
  publishStore,
  isUsable,
  allExist,
  showWhen,
  nodeList,
  chosenNodes,
  rowList,
  readRows,
  replaceRows,
  secretArea,
};
