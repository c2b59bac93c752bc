import assert from 'node:assert/strict';
import { rootCertificates } from 'node:tls';
import { PeerError } from '../../../lib/errors.ts';
import { readCertificate } from '../../../lib/x509/certificate.ts';
import { readPem, toPem } from '../../../lib/x509/pem.ts';
import { selfSigned } from './samples.ts';

const SEED = 20_260_417;
const SLOW_MS = 100;

/** The same numbers in every run (mulberry32). */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const INTERESTING = [
  0x00, 0x01, 0x02, 0x04, 0x17, 0x1f, 0x30, 0x31, 0x7f, 0x80, 0x81, 0x82, 0x84, 0x88, 0xa0, 0xa3, 0xfe, 0xff,
];

function mutate(original: Uint8Array, random: (below: number) => number): Uint8Array {
  let bytes = Buffer.from(original);
  for (let count = 1 + random(4); count > 0; count--) {
    const at = random(bytes.length);
    const length = random(40);
    switch (random(6)) {
      case 0:
        bytes[at] = random(256);
        break;
      case 1:
        bytes[at] = INTERESTING[random(INTERESTING.length)] ?? 0;
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at)]);
        break;
      case 4:
        bytes = Buffer.concat([bytes, Buffer.alloc(length, INTERESTING[random(INTERESTING.length)])]);
        break;
      default:
        bytes = bytes.subarray(0, Math.max(1, at));
    }
  }
  return bytes;
}

function survives(read: () => unknown): boolean {
  const start = performance.now();
  try {
    read();
    return true;
  } catch (error) {
    assert.ok(error instanceof PeerError, `${String(error)} came out`);
    return false;
  } finally {
    assert.ok(performance.now() - start < SLOW_MS);
  }
}

describe('damaged certificates', () => {
  const originals = [selfSigned(), ...rootCertificates.slice(0, 20).flatMap((pem) => readPem(pem))];

  it('are read or refused with ERR_INVALID_CERTIFICATE, quickly, in 10,000 rounds', () => {
    const random = randomFrom(SEED);
    let read = 0;
    for (let round = 0; round < 10_000; round++) {
      const original = originals[random(originals.length)] ?? Buffer.of();
      if (survives(() => readCertificate(mutate(original, random)))) read++;
    }
    assert.ok(read > 500 && read < 9500, `${read} were read`);
  });

  it('are refused wherever they are cut off', () => {
    const der = selfSigned();
    for (let length = 0; length < der.length; length++) {
      assert.equal(
        survives(() => readCertificate(der.subarray(0, length))),
        false,
      );
    }
  });

  it('are read or refused as PEM too, in 2,000 rounds', () => {
    const random = randomFrom(SEED);
    const pem = Buffer.from(toPem(selfSigned()).repeat(3));
    for (let round = 0; round < 2000; round++) {
      survives(() => readPem(Buffer.from(mutate(pem, random)).toString('latin1')).map((der) => readCertificate(der)));
    }
  });

  const hostile: Readonly<Record<string, Uint8Array>> = {
    'sequences within each other': Buffer.from('3082'.repeat(500_000), 'hex'),
    'indefinite lengths within each other': Buffer.from('3080'.repeat(500_000), 'hex'),
    'indefinite lengths that end': Buffer.concat([Buffer.from('3080'.repeat(250_000), 'hex'), Buffer.alloc(500_000)]),
    'end-of-contents octets alone': Buffer.concat([Buffer.of(0x30, 0x80), Buffer.alloc(1_000_000)]),
    'octets of 0xff': Buffer.alloc(1_048_576, 0xff),
  };
  for (const [what, bytes] of Object.entries(hostile)) {
    it(`made of a megabyte of ${what} are refused quickly`, () => {
      assert.equal(
        survives(() => readCertificate(bytes)),
        false,
      );
    });
  }
});
