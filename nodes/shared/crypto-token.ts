/**
 * The fields of a key binding that say where its keys are: in a file, or in a device.
 */
import { isAbsolute, join, parse } from 'node:path';
import type { NodeAPI } from 'node-red';
import { PeerError } from '../../lib/errors.ts';
import type { CryptoToken } from '../../lib/keybinding/crypto-token.ts';
import { FileToken } from '../../lib/keybinding/file-token.ts';
import { BindingStateFile } from '../../lib/keybinding/key-binding-state.ts';
import { Pkcs11Token } from '../../lib/keybinding/pkcs11-token.ts';

/** Paths are absolute, or relative to the Node-RED user directory. */
export interface CryptoTokenFields {
  /** `pkcs12` or `pkcs11`; flows from before there was a choice have none. */
  readonly tokenType?: string;
  /** Of a PKCS#12 token. */
  readonly tokenFile: string;
  /** Empty = the file name without its ending, or what the slot goes by. */
  readonly tokenName: string;
  /** Of a PKCS#11 token. */
  readonly library?: string;
  /** `label`, `id` or `index`. */
  readonly slotBy?: string;
  readonly slot?: string;
  /** Empty = the name of the key binding. */
  readonly keyLabel?: string;
  /** What is remembered beside a PKCS#11 token. */
  readonly stateFile?: string;
}

/** A token that is known, and not open yet. */
export interface KnownCryptoToken {
  readonly name: string;
  readonly state: BindingStateFile;
  /** @throws PeerError what the token throws */
  open(): Promise<CryptoToken>;
}

/** @throws PeerError ERR_INVALID_CONFIG */
export function cryptoTokenOf(
  RED: NodeAPI,
  { name, ...fields }: CryptoTokenFields & { readonly name: string },
  secret: string,
): KnownCryptoToken {
  const { tokenType = 'pkcs12' } = fields;
  if (tokenType === 'pkcs12') return fileTokenOf(RED, fields, secret);
  if (tokenType === 'pkcs11') return deviceTokenOf(RED, { name, ...fields }, secret);
  throw invalid(`"${tokenType}" is no kind of crypto token`);
}

function fileTokenOf(RED: NodeAPI, { tokenFile, tokenName }: CryptoTokenFields, passphrase: string): KnownCryptoToken {
  const file = pathOf(RED, tokenFile, 'The crypto token has no file');
  const name = tokenName.trim() || parse(file).name;
  const open = () => FileToken.open({ name, file, passphrase });
  return { name, state: new BindingStateFile(`${file}.json`), open };
}

function deviceTokenOf(
  RED: NodeAPI,
  fields: CryptoTokenFields & { readonly name: string },
  pin: string,
): KnownCryptoToken {
  const { library = '', slotBy = 'label', slot = '', keyLabel = '', stateFile = '', tokenName } = fields;
  if (slotBy !== 'label' && slotBy !== 'id' && slotBy !== 'index') throw invalid(`Slots do not go by "${slotBy}"`);
  const name = tokenName.trim() || slot.trim();
  const open = () =>
    Pkcs11Token.open({
      name,
      library: library.trim(),
      slot: { by: slotBy, value: slot.trim() },
      pin,
      keyLabel: keyLabel.trim() || fields.name.trim(),
    });
  return { name, state: new BindingStateFile(pathOf(RED, stateFile, 'The key binding has no state file')), open };
}

function pathOf(RED: NodeAPI, text: string, missing: string): string {
  const path = text.trim();
  if (path === '') throw invalid(missing);
  return isAbsolute(path) ? path : join(RED.settings.userDir ?? process.cwd(), path);
}

function invalid(detail: string): PeerError {
  return new PeerError('ERR_INVALID_CONFIG', detail);
}
