import assert from 'node:assert/strict';
import { dottedFromOid, oidFromDotted } from '../../../lib/x509/object-identifier.ts';

describe('object identifiers', () => {
  it('reads back what it writes', () => {
    for (const dotted of ['0.0', '1.39', '2.5.29.14', '2.999.3', '1.3.6.1.4.1.11129.2.4.3', `1.2.${2n ** 200n}`]) {
      assert.equal(dottedFromOid(oidFromDotted(dotted)), dotted);
    }
  });

  it('reads an identifier that is cut off', () => {
    assert.equal(dottedFromOid(Uint8Array.of(0x55, 0x84)), '2.5.4');
  });

  it('reads no octets as nothing', () => {
    assert.equal(dottedFromOid(new Uint8Array(0)), '');
  });

  it('reads a megabyte in no time', () => {
    const start = performance.now();
    dottedFromOid(new Uint8Array(1_048_576).fill(0xff));
    assert.ok(performance.now() - start < 50);
  });
});
