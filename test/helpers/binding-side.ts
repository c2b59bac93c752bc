/**
 * A key binding in a process of its own that renews itself again and again, to be killed: at a named step, where it
 * says so and waits for its end, or at any moment.
 */
import { createPrivateKey } from 'node:crypto';
import { join } from 'node:path';
import type { CryptoToken } from '../../lib/keybinding/crypto-token.ts';
import { KeyBinding } from '../../lib/keybinding/key-binding.ts';
import { BindingStateFile } from '../../lib/keybinding/key-binding-state.ts';
import type { Pkcs11TokenOptions } from '../../lib/keybinding/pkcs11-token.ts';
import { readPem } from '../../lib/x509/pem.ts';
import { certify, openToken, PROPERTIES } from './ocsp-binding.ts';
import type { Credential } from './test-pki.ts';

/** What the parent says. */
export interface BindingSideSettings {
  /** Of the state, and of the token unless there is a device. */
  readonly folder: string;
  readonly device: Pkcs11TokenOptions | undefined;
  readonly ca: string;
  readonly caKey: string;
  /** Of all certificates, epoch milliseconds. */
  readonly notBefore: number;
  /** Empty = none: goes on until it is killed. */
  readonly stopAt: string;
}

/** Steps of a renewal, in their order; each is said when it is over. */
export const STEPS = [
  'before the key is made',
  'key made',
  'request remembered',
  'request given',
  'certificate issued',
  'switch written',
  'switched',
  'old key destroyed',
  'old key forgotten',
] as const;

async function run({ folder, device, ca, caKey, notBefore, stopAt }: BindingSideSettings): Promise<void> {
  const at = async (step: (typeof STEPS)[number]): Promise<void> => {
    process.send?.({ step });
    if (step === stopAt) await new Promise(() => setInterval(() => undefined, 1_000));
  };
  const stepped = (token: CryptoToken): CryptoToken => ({
    name: token.name,
    keys: () => token.keys(),
    generateKey: async (algorithm) => {
      await at('before the key is made');
      const key = await token.generateKey(algorithm);
      await at('key made');
      return key;
    },
    destroyKey: async (key) => {
      await token.destroyKey(key);
      await at('old key destroyed');
    },
    close: () => token.close(),
  });
  class SteppedState extends BindingStateFile {
    override async save(state: Parameters<BindingStateFile['save']>[0]): Promise<void> {
      const before = await this.load();
      await super.save(state);
      if (state.next !== undefined && state.next !== before.next) await at('request remembered');
      else if (state.generation !== before.generation) await at('switch written');
      else await at('old key forgotten');
    }
  }
  const [certificate = new Uint8Array(0)] = readPem(ca);
  const issuer = { certificate, privateKey: createPrivateKey(caKey) } as unknown as Credential;
  for (;;) {
    const options = {
      name: 'ocsp 1',
      subjectDN: 'CN=ocsp 1',
      algorithm: 'P-256',
      enabled: true,
      properties: PROPERTIES,
      cas: [certificate],
    } as const;
    // Opened anew, so that the old key ends without waiting for a timer.
    const token = stepped(await openToken(folder, 'ocsp 1', device));
    const binding = await KeyBinding.open(options, token, new SteppedState(join(folder, 'ocsp 1.json')));
    const { certificateRequest } = await binding.request(true);
    await at('request given');
    const signed = certify(issuer, certificateRequest, { notBefore: new Date(notBefore) });
    await at('certificate issued');
    await binding.importCertificate([signed]);
    await at('switched');
    await binding.close();
  }
}

if (process.argv[2] !== undefined && process.send !== undefined) await run(JSON.parse(process.argv[2]));
