/**
 * The public half of the overview: validation authorities and the OCSP key bindings they sign with, as flat rows.
 *
 * @see EJBCA, Internal Key Bindings Overview
 */
import type { KeyBindingFacts } from '../keybinding/key-binding-facts.ts';
import type { AnswerNumbers } from '../validation-authority/answer-counts.ts';
import type { OcspNumbers } from '../validation-authority/ocsp-face.ts';

/** What a validation authority knows of itself. */
export interface ValidationAuthorityFacts {
  readonly id: string;
  readonly name: string;
  /** undefined = nothing listens. */
  readonly port: number | undefined;
  /** Why it does not listen although it should; empty = no reason known. */
  readonly error: string;
  readonly answers: AnswerNumbers;
  /** undefined = it serves no OCSP. */
  readonly ocsp: OcspNumbers | undefined;
  readonly keyBindings: readonly KeyBindingFacts[];
}

/** One validation authority. Counts are since it began. */
export interface ValidationAuthorityRow extends AnswerNumbers, OcspNumbers {
  readonly id: string;
  readonly name: string;
  readonly state: 'off' | 'listening';
  /** 0 = nothing listens. */
  readonly port: number;
  readonly error: string;
  readonly servesOcsp: boolean;
}

/** One key binding of a validation authority. Texts are empty where there is no certificate. */
export interface KeyBindingRow
  extends Pick<
    KeyBindingFacts,
    | 'name'
    | 'cryptoToken'
    | 'status'
    | 'operational'
    | 'subjectDN'
    | 'issuerDN'
    | 'serialNumber'
    | 'expires'
    | 'keyAlgorithm'
  > {
  /** Of the validation authority and the binding together. */
  readonly id: string;
  readonly validationAuthorityId: string;
  readonly validationAuthority: string;
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
  const { id, name, port, error, answers, ocsp } = facts;
  const state = port === undefined ? 'off' : 'listening';
  return { id, name, state, port: port ?? 0, error, servesOcsp: ocsp !== undefined, ...answers, ...(ocsp ?? NO_OCSP) };
}

/** Makes the rows of the key bindings of a validation authority, in the order given. */
export function toKeyBindingRows(facts: ValidationAuthorityFacts): readonly KeyBindingRow[] {
  const { id: validationAuthorityId, name: validationAuthority, keyBindings } = facts;
  return keyBindings.map((binding) => {
    const { name, cryptoToken, status, operational, subjectDN, issuerDN, serialNumber, expires, keyAlgorithm } =
      binding;
    const certificate = { subjectDN, issuerDN, serialNumber, expires };
    const id = `${validationAuthorityId} ${name}`;
    return {
      ...{ id, validationAuthorityId, validationAuthority, name, cryptoToken, status, operational },
      ...certificate,
      keyAlgorithm,
    };
  });
}
