/**
 * Roles: who belongs to one, and what it says about access rules.
 *
 * @see EJBCA, Roles and Access Rules
 */
import { PeerError } from '../errors.ts';
import { attributeValues } from '../x509/distinguished-name.ts';
import { parseSerialNumber } from '../x509/serial-number.ts';
import { pathsOf } from './access-rules.ts';

/** What of a certificate a role member is matched on. */
export const MEMBER_MATCHES = [
  'commonName',
  'fullDN',
  'serialNumber',
  'organization',
  'organizationalUnit',
  'dnsName',
  'fingerprint',
  'anyCertificate',
] as const;

/** One of MEMBER_MATCHES. */
export type MemberMatch = (typeof MEMBER_MATCHES)[number];

/** A certificate, or a group of them, that belongs to a role. */
export interface RoleMember {
  readonly match: MemberMatch;
  /** What the matched field must be, to the letter; serial numbers decimal, or hexadecimal with a letter, a colon or `0x`. Unused for `anyCertificate`. */
  readonly value: string;
  /** The issuing CA: its subject DN in EJBCA's form, or the fingerprint of its certificate. Required. */
  readonly issuer: string;
}

/** `inherit` is the absence of a rule. */
export type RuleState = 'allow' | 'deny';

/** A named set of members and rules. */
export interface Role {
  readonly name: string;
  readonly members: readonly RoleMember[];
  /** State per rule path. */
  readonly rules: Readonly<Record<string, RuleState>>;
}

/** What of an authenticated peer certificate the roles look at. */
export interface PeerIdentity {
  readonly fingerprint: string;
  readonly subjectDN: string;
  readonly issuerDN: string;
  /** Fingerprint of the CA certificate that verified it; empty when unknown. */
  readonly issuerFingerprint: string;
  /** Decimal. */
  readonly serialNumber: string;
  readonly dnsNames: readonly string[];
}

/**
 * Checks a role at the border.
 *
 * @throws PeerError ERR_INVALID_CONFIG naming the role and the wrong member or rule
 */
export function checkRole(role: Role): Role {
  for (const member of role.members) checkMember(role.name, member);
  for (const [path, state] of Object.entries(role.rules)) {
    pathsOf(path);
    if (state !== 'allow' && state !== 'deny') {
      throw new PeerError('ERR_INVALID_CONFIG', `Role "${role.name}": rule ${path} is "${state}", not allow or deny`);
    }
  }
  return role;
}

function checkMember(roleName: string, member: RoleMember): void {
  if (!MEMBER_MATCHES.includes(member.match)) {
    throw new PeerError('ERR_INVALID_CONFIG', `Role "${roleName}": "${member.match}" is not a way to match a member`);
  }
  if (member.issuer === '') {
    throw new PeerError('ERR_INVALID_CONFIG', `Role "${roleName}": a member names no issuing CA`);
  }
  if (member.match !== 'anyCertificate' && member.value === '') {
    throw new PeerError('ERR_INVALID_CONFIG', `Role "${roleName}": a member has no value for ${member.match}`);
  }
}

/** Whether a certificate belongs to a role. */
export function isMember(role: Role, peer: PeerIdentity): boolean {
  return role.members.some((member) => isIssuer(member.issuer, peer) && MATCHERS[member.match](member.value, peer));
}

function isIssuer(issuer: string, peer: PeerIdentity): boolean {
  return issuer === peer.issuerDN || (peer.issuerFingerprint !== '' && issuer.toLowerCase() === peer.issuerFingerprint);
}

const MATCHERS: Record<MemberMatch, (value: string, peer: PeerIdentity) => boolean> = {
  commonName: (value, peer) => attributeValues(peer.subjectDN, 'CN').includes(value),
  fullDN: (value, peer) => value === peer.subjectDN,
  serialNumber: (value, peer) => parseSerialNumber(value) === peer.serialNumber,
  organization: (value, peer) => attributeValues(peer.subjectDN, 'O').includes(value),
  organizationalUnit: (value, peer) => attributeValues(peer.subjectDN, 'OU').includes(value),
  dnsName: (value, peer) => peer.dnsNames.some((name) => name.toLowerCase() === value.toLowerCase()),
  fingerprint: (value, peer) => value.replaceAll(':', '').toLowerCase() === peer.fingerprint,
  anyCertificate: () => true,
};
