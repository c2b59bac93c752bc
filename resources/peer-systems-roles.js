/**
 * From an incoming connection to a role: edits the config nodes of the flow as a user would, to be undone and deployed.
 */
import { memberFor, withTemplate } from './peer-checks.js';

/** The roles of an endpoint as they stand in the editor, deployed or not. */
export function rolesOfEndpoint(endpointId) {
  const ids = RED.nodes.node(endpointId)?.roles ?? [];
  return ids.map((id) => RED.nodes.node(id)).filter((role) => role?.type === 'peer-role');
}

/** Makes a role for a peer from a template, gives it to the endpoint, and opens it. */
export function createRole(row, template, text) {
  const endpoint = RED.nodes.node(row.endpointId);
  if (!endpoint) return;
  const dirty = RED.nodes.dirty();
  const member = memberFor(row);
  const role = { id: RED.nodes.id(), type: 'peer-role', name: member.value };
  RED.nodes.import([{ ...role, members: [member], rules: withTemplate([], template) }]);
  const made = RED.nodes.node(role.id);
  made.changed = true;
  const added = { t: 'add', nodes: [role.id], dirty };
  const edited = edit(endpoint, { roles: [...endpoint.roles, role.id] }, dirty);
  made.users.push(endpoint);
  RED.history.push({ t: 'multi', events: [added, edited], dirty });
  finish([made, endpoint], text('role.created', { name: role.name }));
  editRole(role.id);
}

/** Makes a peer a member of a role that is there. */
export function addToRole(row, roleId, text) {
  const role = RED.nodes.node(roleId);
  if (!role) return;
  const dirty = RED.nodes.dirty();
  RED.history.push(edit(role, { members: [...role.members, memberFor(row)] }, dirty));
  finish([role], text('role.extended', { name: role.name }));
}

/** Whether a connector, as it stands in the editor, takes requests of an RA for which it has no role. */
export function asksForRole(connectorId) {
  const connector = RED.nodes.node(connectorId);
  return Boolean(connector?.raEnabled) && !RED.nodes.node(connector.raRole);
}

/** Makes a role for the RA at the other end of a connector, with the templates of RAs, and opens it. */
export async function authoriseRequests(connectorId, text) {
  const connector = RED.nodes.node(connectorId);
  const rows = await $.getJSON('peer-systems/overview', { since: '' });
  const row = rows.sections.outgoing.changed.find(({ id }) => id === connectorId);
  if (!connector || !row) return;
  const dirty = RED.nodes.dirty();
  const member = memberFor({ subjectDN: row.serverSubjectDN, issuerDN: row.serverIssuerDN });
  const role = { id: RED.nodes.id(), type: 'peer-role', name: member.value };
  const rules = ['enrol', 'revoke', 'search'].reduce(withTemplate, []);
  RED.nodes.import([{ ...role, members: [member], rules }]);
  const made = RED.nodes.node(role.id);
  made.changed = true;
  made.users.push(connector);
  const added = { t: 'add', nodes: [role.id], dirty };
  RED.history.push({ t: 'multi', events: [added, edit(connector, { raRole: role.id }, dirty)], dirty });
  finish([made, connector], text('role.created', { name: role.name }));
  editRole(role.id);
}

/** Opens the dialog of a role. */
export function editRole(roleId) {
  if (RED.nodes.node(roleId)) RED.editor.editConfig('', 'peer-role', roleId);
}

/** Changes a node; gives what the editor needs to undo it. */
function edit(node, values, dirty) {
  const changes = Object.fromEntries(Object.keys(values).map((key) => [key, node[key]]));
  const event = { t: 'edit', node, changes, changed: node.changed, dirty };
  Object.assign(node, values, { changed: true });
  return event;
}

function finish(nodes, message) {
  for (const node of nodes) {
    RED.editor.validateNode(node);
    RED.events.emit('nodes:change', node);
  }
  RED.nodes.dirty(true);
  RED.view.redraw(true);
  RED.notify($('<div>').text(message), 'success');
}
