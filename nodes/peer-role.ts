/**
 * Config node: who may do what at an endpoint.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { rulesOf } from '../lib/auth/effective-rules.ts';
import { checkRole, type Role, type RoleMember, type RuleState } from '../lib/auth/role.ts';

interface PeerRoleDef extends NodeDef {
  readonly members: readonly RoleMember[];
  readonly rules: readonly { readonly path: string; readonly state: RuleState | 'inherit' }[];
}

/** What an endpoint uses of a role node. */
export interface PeerRoleNode extends Node {
  /** @throws PeerError ERR_INVALID_CONFIG naming what is wrong */
  role(): Role;
}

export default function (RED: NodeAPI): void {
  function PeerRole(this: PeerRoleNode, config: PeerRoleDef): void {
    RED.nodes.createNode(this, config);
    const role = (): Role =>
      checkRole({
        name: config.name,
        members: config.members ?? [],
        rules: rulesOf(config.rules ?? []),
      });
    Object.assign(this, { role });
    try {
      role();
    } catch (error) {
      this.error((error as Error).message);
    }
  }

  RED.nodes.registerType('peer-role', PeerRole);
}
