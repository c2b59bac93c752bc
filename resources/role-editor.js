/**
 * Browser code of the role's dialog: members, rules, templates, and what a certificate may do in the end.
 *
 * The rights are worked out by the runtime, with the very code that decides at an endpoint, from the roles as they
 * stand in the editor.
 */
import { ACCESS_RULES, isAccessRule, MEMBER_MATCHES, ROLE_TEMPLATES, withTemplate } from './peer-checks.js';
import { readRows, replaceRows, rowList } from './peer-editor.js';

const STATES = ['inherit', 'allow', 'deny'];

function prepare(node) {
  const text = (key, values) => node._(`peer-role.${key}`, values);
  const lists = { members: $('#node-config-input-members-list'), rules: $('#node-config-input-rules-list') };
  rowList(lists.members, { rows: node.members, fields: memberFields(text), add: text('label.addMember') });
  rowList(lists.rules, { rows: node.rules, fields: ruleFields(text), add: text('label.addRule') });
  prepareTemplates(lists.rules, text);
  prepareRights(node, lists, text);
}

function memberFields(text) {
  const isGiven = (value) => value.trim() !== '';
  const options = MEMBER_MATCHES.map((match) => [match, text(`match.${match}`)]);
  const isValued = ({ match }) => match !== 'anyCertificate';
  return [
    { key: 'match', kind: 'select', options, value: 'commonName', label: text('label.match'), width: '42%' },
    { key: 'value', kind: 'text', placeholder: text('placeholder.value'), shown: isValued, valid: isGiven },
    { key: 'issuer', kind: 'text', placeholder: text('placeholder.issuer'), width: '100%', valid: isGiven },
  ];
}

function ruleFields(text) {
  const options = STATES.map((state) => [state, text(`state.${state}`)]);
  const valid = (path) => isAccessRule(path.trim());
  return [
    { key: 'path', kind: 'text', placeholder: text('placeholder.path'), suggestions: ACCESS_RULES, valid },
    { key: 'state', kind: 'select', options, value: 'allow', label: text('label.state'), width: '110px' },
  ];
}

function prepareTemplates(rules, text) {
  const select = $('#peer-role-template');
  $('<option>').attr('value', '').text(text('template.choose')).appendTo(select);
  for (const key of Object.keys(ROLE_TEMPLATES)) {
    $('<option>')
      .attr('value', key)
      .text(text(`template.${key}`))
      .appendTo(select);
  }
  select.on('change', () => {
    if (select.val()) replaceRows(rules, withTemplate(readRows(rules), select.val()));
    select.val('');
  });
}

function prepareRights(node, lists, text) {
  const who = $('#peer-role-certificate');
  const pasted = $('#peer-role-pasted').attr('aria-label', text('placeholder.certificate')).hide();
  const shown = $('#peer-role-rights');
  const ask = async () => {
    pasted.toggle(who.val() === 'pasted');
    const subject = subjectOf(who.val(), pasted.val());
    if (subject === undefined) return shown.empty();
    const own = {
      name: $('#node-config-input-name').val(),
      members: readRows(lists.members),
      rules: readRows(lists.rules),
    };
    showRights(shown, await rightsOf({ roles: rolesBeside(node, own, subject.endpoint), ...subject }), text);
  };
  $('<option>').attr('value', '').text(text('rights.choose')).appendTo(who);
  $('<option>').attr('value', 'pasted').text(text('rights.pasted')).appendTo(who);
  for (const [key, label] of knownPeers()) $('<option>').attr('value', key).text(label).appendTo(who);
  who.on('change', ask);
  pasted.on('input', ask);
  for (const list of Object.values(lists)) list.on('change input', ask).on('click', () => setTimeout(ask));
  $('#peer-role-template').on('change', ask);
}

/** Peers that the sidebar has seen: those are the ones an operator means. */
function knownPeers() {
  const peers = globalThis.peerSystems?.incoming() ?? [];
  const verified = peers.filter(({ issuerDN }) => issuerDN !== '').slice(0, 200);
  return verified.map(({ endpointId, peerId, subjectDN }) => [
    JSON.stringify({ endpoint: endpointId, peer: peerId }),
    subjectDN,
  ]);
}

function subjectOf(choice, pem) {
  if (choice === '' || (choice === 'pasted' && pem.trim() === '')) return undefined;
  return choice === 'pasted' ? { certificate: pem } : JSON.parse(choice);
}

/** The role of the dialog and those that count beside it: at the endpoints that name it, or at the peer's. */
function rolesBeside(node, own, endpointId) {
  const ids = new Set();
  RED.nodes.eachConfig((each) => {
    const isMeant = endpointId === undefined ? each.roles?.includes(node.id) : each.id === endpointId;
    if (each.type === 'peer-endpoint' && isMeant) for (const id of each.roles ?? []) ids.add(id);
  });
  ids.delete(node.id);
  const others = [...ids].map((id) => RED.nodes.node(id)).filter((role) => role?.type === 'peer-role');
  return [own, ...others.map(({ name, members, rules }) => ({ name, members, rules }))];
}

async function rightsOf(question) {
  const options = { method: 'POST', url: 'peer-systems/effective-rules', contentType: 'application/json' };
  try {
    return await $.ajax({ ...options, data: JSON.stringify(question) });
  } catch (response) {
    return { error: response.responseJSON?.detail ?? response.statusText };
  }
}

function showRights(shown, { error, roles, rules }, text) {
  shown.empty();
  if (error !== undefined) return $('<div class="peer-right-none">').text(error).appendTo(shown);
  const names = roles.length === 0 ? text('rights.noRole') : text('rights.roles', { roles: roles.join(', ') });
  $('<div class="peer-right-roles">').text(names).appendTo(shown);
  for (const { path, isAllowed, role, rule } of rules) {
    const depth = path === '/' ? 0 : path.split('/').length - 1;
    const from = role === '' ? '' : text('rights.from', { role, rule });
    $('<div class="peer-right">')
      .toggleClass('peer-right-allowed', isAllowed)
      .css('padding-left', `${4 + depth * 14}px`)
      .append($('<i aria-hidden="true">').addClass(isAllowed ? 'fa fa-check' : 'fa fa-times'))
      .append($('<span class="peer-right-path">').text(path))
      .append($('<span class="peer-right-state">').text(text(isAllowed ? 'state.allow' : 'state.deny')))
      .append($('<span class="peer-right-from">').text(from))
      .appendTo(shown);
  }
  return shown;
}

function save(node) {
  node.members = readRows($('#node-config-input-members-list'));
  node.rules = readRows($('#node-config-input-rules-list'));
}

globalThis.roleEditor = { prepare, save };
