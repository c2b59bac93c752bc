/**
 * The validation authorities of this side in the overview: where each answers, how often and what, and the key bindings
 * that sign its OCSP answers.
 */
import type { BindingStatus, KeyBindingFacts } from '../keybinding/key-binding-facts.ts';
import type { AnswerNumbers } from '../validation-authority/answer-counts.ts';
import type { OcspNumbers } from '../validation-authority/ocsp-face.ts';

/** A key binding that a validation authority is set up with. */
export interface ServedKeyBinding {
  /** Of the node. */
  readonly id: string;
  readonly name: string;
  /** undefined = it is not open. */
  readonly facts: KeyBindingFacts | undefined;
  /** Why it is not open; empty = it is. */
  readonly error: string;
}

/** What a validation authority knows of itself. */
export interface ValidationAuthorityFacts {
  readonly id: string;
  readonly name: string;
  /** Address listened on; empty = all. */
  readonly host: string;
  /** undefined = nothing listens. */
  readonly port: number | undefined;
  /** Why it does not listen; empty = no reason known. */
  readonly error: string;
  readonly servesCrls: boolean;
  readonly answers: AnswerNumbers;
  /** undefined = OCSP is not answered. */
  readonly ocsp: OcspNumbers | undefined;
  readonly keyBindings: readonly ServedKeyBinding[];
}

/** One validation authority: plain values only. All counts are since its node began. */
export interface ValidationAuthorityRow extends AnswerNumbers, OcspNumbers {
  readonly id: string;
  readonly name: string;
  readonly state: 'off' | 'listening';
  /** E.g. `127.0.0.1:8080`, `*:8080` for all addresses; empty = nothing listens. */
  readonly address: string;
  readonly error: string;
  readonly servesCrls: boolean;
  /** Where it is false, the counts of OCSP are 0. */
  readonly servesOcsp: boolean;
  /** How many key bindings it is set up with. */
  readonly keyBindings: number;
  /** How many of them sign. */
  readonly keyBindingsOnline: number;
  /** When the first certificate among them expires, ISO 8601; empty = unknown. */
  readonly firstExpires: string;
}

/** One key binding at one validation authority: plain values only. */
export interface KeyBindingRow {
  /** Of the validation authority and the key binding together. */
  readonly id: string;
  readonly validationAuthorityId: string;
  readonly validationAuthority: string;
  readonly name: string;
  /** `unavailable`: it is not open, see `error`. */
  readonly operational: KeyBindingFacts['operational'] | 'unavailable';
  /** Empty while it is not open. */
  readonly status: BindingStatus | '';
  readonly cryptoToken: string;
  readonly keyAlgorithm: string;
  readonly subjectDN: string;
  readonly issuerDN: string;
  /** Decimal; empty = it has no certificate. */
  readonly serialNumber: string;
  /** ISO 8601; empty = it has no certificate. */
  readonly expires: string;
  readonly error: string;
}

const NO_OCSP: OcspNumbers = {
  ocspRequests: 0,
  ocspGood: 0,
  ocspRevoked: 0,
  ocspUnknown: 0,
  ocspErrors: 0,
  ocspFromCache: 0,
  ocspSigned: 0,
};

/** Makes the row of a validation authority. */
export function toValidationAuthorityRow(facts: ValidationAuthorityFacts): ValidationAuthorityRow {
  const { id, name, port, error, servesCrls, answers, ocsp, keyBindings } = facts;
  const ends = keyBindings.map((binding) => binding.facts?.expires ?? '').filter((time) => time !== '');
  return {
    id,
    name,
    state: port === undefined ? 'off' : 'listening',
    address: addressOf(facts),
    error,
    servesCrls,
    servesOcsp: ocsp !== undefined,
    ...answers,
    ...(ocsp ?? NO_OCSP),
    keyBindings: keyBindings.length,
    keyBindingsOnline: keyBindings.filter((binding) => binding.facts?.operational === 'online').length,
    firstExpires: ends.sort()[0] ?? '',
  };
}

/** Makes the rows of the key bindings of a validation authority, in the order given. */
export function toKeyBindingRows(facts: ValidationAuthorityFacts): readonly KeyBindingRow[] {
  const { id: validationAuthorityId, name: validationAuthority, keyBindings } = facts;
  return keyBindings.map(({ id, name, facts: binding, error }) => ({
    id: `${validationAuthorityId} ${id}`,
    validationAuthorityId,
    validationAuthority,
    name,
    operational: binding?.operational ?? 'unavailable',
    status: binding?.status ?? '',
    cryptoToken: binding?.cryptoToken ?? '',
    keyAlgorithm: binding?.keyAlgorithm ?? '',
    subjectDN: binding?.subjectDN ?? '',
    issuerDN: binding?.issuerDN ?? '',
    serialNumber: binding?.serialNumber ?? '',
    expires: binding?.expires ?? '',
    error,
  }));
}

function addressOf({ host, port }: ValidationAuthorityFacts): string {
  if (port === undefined) return '';
  if (host === '') return `*:${port}`;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
