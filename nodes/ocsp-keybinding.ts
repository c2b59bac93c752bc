/**
 * Config node: an OCSP key binding, its crypto token and its properties.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { PeerError, toPeerError } from '../lib/errors.ts';
import type { KeyBindingEvent } from '../lib/keybinding/binding-keys.ts';
import { TOKEN_KEY_ALGORITHMS, type TokenKeyAlgorithm } from '../lib/keybinding/crypto-token.ts';
import { KeyBinding, type KeyBindingOptions } from '../lib/keybinding/key-binding.ts';
import type { OcspProperties } from '../lib/keybinding/ocsp-signer.ts';
import { type ManagedKeyBinding, OfflineKeyBinding } from '../lib/keybinding/offline-key-binding.ts';
import { CERTIFICATE_STATUS } from '../lib/store/certificate-data.ts';
import type { CertificateStoreNode } from './certificate-store.ts';
import { type CaField, readCas } from './shared/ca-list.ts';
import { type CryptoTokenFields, cryptoTokenOf, type KnownCryptoToken } from './shared/crypto-token.ts';
import { configNode, numberField } from './shared/node-config.ts';

interface OcspKeyBindingDef extends NodeDef, CryptoTokenFields {
  readonly algorithm: string;
  /** Empty = `CN=` and the name. */
  readonly subjectDN: string;
  readonly cas: readonly CaField[];
  readonly enabled: boolean;
  /** Where revocations of the signing certificate are looked up; empty = nowhere. */
  readonly store: string;
  readonly nonExisting: string;
  /** Seconds. */
  readonly responseValidity: number | string;
  /** Seconds. */
  readonly maxAge: number | string;
  readonly responderId: string;
  readonly includeSigningCertificate: boolean;
  readonly includeChain: boolean;
  readonly nonce: boolean;
  readonly isDefaultResponder: boolean;
}

interface Credentials {
  /** Or the authentication code of a PKCS#11 token. */
  readonly passphrase?: string;
}

/** What other nodes use of a key binding node. */
export interface OcspKeyBindingNode extends Node<Credentials> {
  /** undefined until the token is open, and when it could not be opened. */
  opened(): KeyBinding | undefined;
  /** @throws PeerError why there is none: ERR_CRYPTO_TOKEN_UNAVAILABLE until the token is open, then its own error */
  binding(): KeyBinding;
  /** For peers: a binding that says so where the token is not open; undefined where the fields name no binding. */
  managed(): ManagedKeyBinding | undefined;
}

const REVOCATION_CHECK_MS = 2_000;
/** A device that is away, or a disk that is not mounted yet, may come. */
const REOPEN_MS = 5_000;
const MAX_SECONDS = 10 * 365 * 86_400;

export default function (RED: NodeAPI): void {
  function PeerOcspKeyBinding(this: OcspKeyBindingNode, config: OcspKeyBindingDef): void {
    RED.nodes.createNode(this, config);
    let binding: KeyBinding | undefined;
    let offline: OfflineKeyBinding | undefined;
    let failure = new PeerError('ERR_CRYPTO_TOKEN_UNAVAILABLE', `The key binding "${config.name}" is not open yet`);
    let isClosed = false;
    let retry: NodeJS.Timeout | undefined;
    Object.assign(this, {
      opened: () => binding,
      binding: () => {
        if (binding === undefined) throw failure;
        return binding;
      },
      managed: () => binding ?? offline,
    });
    const tell = ({ kind, key }: KeyBindingEvent): void => this.log(`${kind}: ${key}`);
    let warned = '';
    const check = async (opened: KeyBinding | undefined): Promise<void> => {
      const { message } = await checkRevocation(RED, config, opened).then(() => ({ message: '' }), toPeerError);
      if (message !== '' && message !== warned) this.warn(message);
      warned = message;
    };
    const tryOpening = async (): Promise<void> => {
      try {
        const { options, token } = read(RED, config, this.credentials?.passphrase ?? '', tell);
        offline = new OfflineKeyBinding({ name: options.name, cryptoToken: token.name, enabled: options.enabled });
        const opened = await open(options, token);
        // Before the first answer: a restart must not make a revoked certificate sign.
        await check(opened);
        binding = opened;
      } catch (error) {
        const { message } = failure;
        failure = toPeerError(error);
        if (failure.message !== message) this.error(failure.message);
        if (isClosed || failure.code !== 'ERR_CRYPTO_TOKEN_UNAVAILABLE') return;
        retry = setTimeout(() => {
          opening = tryOpening();
        }, REOPEN_MS).unref();
      }
    };
    let opening = tryOpening();
    const timer = setInterval(() => void check(binding), REVOCATION_CHECK_MS).unref();
    this.on('close', (_removed: boolean, done: () => void) => {
      isClosed = true;
      clearInterval(timer);
      clearTimeout(retry);
      // The next one must not open the files before this one has let go of them.
      opening.then(() => binding?.close()).then(done, done);
    });
  }

  RED.nodes.registerType<OcspKeyBindingNode, OcspKeyBindingDef, object, Credentials>(
    'peer-ocsp-keybinding',
    PeerOcspKeyBinding,
    { credentials: { passphrase: { type: 'password' } } as never },
  );
}

/** What the fields say. @throws PeerError ERR_INVALID_CONFIG */
function read(
  RED: NodeAPI,
  config: OcspKeyBindingDef,
  secret: string,
  onEvent: (event: KeyBindingEvent) => void,
): { readonly options: KeyBindingOptions; readonly token: KnownCryptoToken } {
  return { options: { ...optionsOf(config), onEvent }, token: cryptoTokenOf(RED, config, secret) };
}

async function open(options: KeyBindingOptions, { state, open: openToken }: KnownCryptoToken): Promise<KeyBinding> {
  const token = await openToken();
  try {
    return await KeyBinding.open(options, token, state);
  } catch (error) {
    await token.close();
    throw error;
  }
}

function optionsOf(config: OcspKeyBindingDef): KeyBindingOptions {
  const name = config.name.trim();
  if (name === '') throw invalid('The key binding has no name');
  const cas = config.cas.flatMap(readCas);
  if (cas.length === 0) throw invalid(`The key binding "${name}" serves no CA`);
  return {
    name,
    subjectDN: config.subjectDN.trim() || `CN=${name}`,
    algorithm: oneOf<TokenKeyAlgorithm>(config.algorithm, TOKEN_KEY_ALGORITHMS, 'a key algorithm'),
    enabled: config.enabled,
    properties: propertiesOf(config),
    cas,
  };
}

function propertiesOf(config: OcspKeyBindingDef): OcspProperties {
  const { includeSigningCertificate, includeChain, nonce, isDefaultResponder } = config;
  const seconds = { min: 0, max: MAX_SECONDS };
  return {
    nonExisting: oneOf(config.nonExisting, ['unknown', 'good', 'revoked', 'unauthorized'], 'an answer'),
    responseValidityMs: numberField(config.responseValidity, 'Response validity', seconds) * 1_000,
    maxAgeMs: numberField(config.maxAge, 'Max-Age', seconds) * 1_000,
    responderId: oneOf(config.responderId, ['key', 'name'], 'a responder id'),
    includeSigningCertificate,
    includeChain,
    nonce,
    isDefaultResponder,
  };
}

function oneOf<Value extends string>(value: string, choices: readonly Value[], what: string): Value {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw invalid(`"${value}" is not ${what}`);
  return found;
}

async function checkRevocation(
  RED: NodeAPI,
  { store: id }: OcspKeyBindingDef,
  binding: KeyBinding | undefined,
): Promise<void> {
  if (!id || binding === undefined) return;
  const store = configNode<CertificateStoreNode>(RED, id, 'peer-certificate-store').store();
  await binding.checkRevocation(async (fingerprint) => {
    const row = await store.findByFingerprint(fingerprint);
    return row?.status === CERTIFICATE_STATUS.revoked;
  });
}

function invalid(detail: string): PeerError {
  return new PeerError('ERR_INVALID_CONFIG', detail);
}
