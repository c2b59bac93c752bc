import assert from 'node:assert/strict';
import { DerCursor } from '../../../lib/x509/der.ts';
import { element, objectIdentifier, sequence, setOf, utf8String } from '../../../lib/x509/der-writer.ts';
import {
  attributeValues,
  commonNameOf,
  escapeNameValue,
  splitDistinguishedName,
  unescapeNameValue,
} from '../../../lib/x509/distinguished-name.ts';
import { readDistinguishedName } from '../../../lib/x509/distinguished-name-reader.ts';
import { parseDistinguishedName } from '../../../lib/x509/distinguished-name-writer.ts';

function print(name: Uint8Array): string {
  const cursor = new DerCursor(name);
  cursor.read();
  return readDistinguishedName(cursor);
}

/** EJBCA's form of a name that stands in the certificate in the order of the text. */
function normalise(text: string): string {
  return print(parseDistinguishedName(text));
}

function attribute(oid: string, tag: number, value: Uint8Array | string): Uint8Array {
  return sequence(objectIdentifier(oid), element(tag, Buffer.from(value as string, 'latin1')));
}

function nameOf(...attributes: readonly Uint8Array[]): Uint8Array {
  return sequence(...attributes.map((each) => setOf(each)));
}

describe('the order of names', () => {
  // Facts of EJBCA's documentation and of the public tests of its x509-common-util module.
  const facts: Readonly<Record<string, string>> = {
    'C=SE,O=PrimeKey,CN=test': 'CN=test,O=PrimeKey,C=SE',
    'CN=foo, O=CN, C=CN': 'CN=foo,O=CN,C=CN',
    'O=PrimeKey,C=SE,CN=CN, OU=FooOU': 'CN=CN,OU=FooOU,O=PrimeKey,C=SE',
    'CN=foo,CN=bar, O=CN, O=C, C=CN': 'CN=foo,CN=bar,O=CN,O=C,C=CN',
    'cn=jean,cn=EJBCA,dc=home,dc=jean': 'CN=jean,CN=EJBCA,DC=home,DC=jean',
    'C=SE, dc=dc1,DC=DC2,O=EJBCA, O=oo, cn=foo, cn=bar': 'CN=bar,CN=foo,O=oo,O=EJBCA,DC=DC2,DC=dc1,C=SE',
    'dc=com,dc=bigcorp,dc=se,ou=orgunit,ou=users,cn=Tomas G': 'CN=Tomas G,OU=users,OU=orgunit,DC=se,DC=bigcorp,DC=com',
    'C=SE,O=PrimeKey,unstructuredName=10.1.1.2,unstructuredAddress=foo.bar.se,cn=test':
      'unstructuredAddress=foo.bar.se,unstructuredName=10.1.1.2,CN=test,O=PrimeKey,C=SE',
    'CN=oid,SN=12345,NAME=name,C=se': 'CN=oid,Name=name,SN=12345,C=se',
    'SURNAME=Json,Description=test,CN=oid,SN=12345,NAME=name,C=se':
      'description=test,CN=oid,Name=name,SN=12345,SURNAME=Json,C=se',
    'jurisdictionCountry=SE,jurisdictionState=Stockholm,SURNAME=Json,CN=oid,jurisdictionLocality=Solna,SN=12345,C=se':
      'JurisdictionCountry=SE,JurisdictionState=Stockholm,JurisdictionLocality=Solna,CN=oid,SN=12345,SURNAME=Json,C=se',
    ' CN="foo, OU=bar",  O=baz\\\\\\, quux,C=SE ': 'CN=foo\\, OU\\=bar,O=baz\\\\\\, quux,C=SE',
  };
  for (const [given, expected] of Object.entries(facts)) {
    it(`turns ${given} into ${expected}`, () => assert.equal(normalise(given), expected));
  }

  it('puts e-mail and UID before the common name', () => {
    assert.equal(normalise('CN=a,UID=b,emailAddress=c@d,GN=e,title=f'), 'E=c@d,UID=b,CN=a,GIVENNAME=e,T=f');
  });

  it('puts types without a place last, those of one type together', () => {
    assert.equal(normalise('1.2.3=x,CN=a,1.2.4=y,1.2.3=z,O=b'), 'CN=a,O=b,1.2.3=x,1.2.3=z,1.2.4=y');
  });

  it('takes a name that ends in a type without a place for reversed, as EJBCA does', () => {
    assert.equal(normalise('CN=a,OU=1,OU=2,1.2.3=x'), 'CN=a,OU=2,OU=1,1.2.3=x');
  });

  it('does not turn a single attribute round', () => assert.equal(normalise('C=SE'), 'C=SE'));

  it('is the same for a name in its own order', () => {
    for (const text of Object.values(facts)) assert.equal(normalise(text), text);
  });

  it('keeps upper and lower case', () => assert.equal(normalise('cn=MiXed,o=eXample'), 'CN=MiXed,O=eXample'));

  it('joins the attributes of one relative name by + in the order of a SET', () => {
    assert.equal(normalise('C=SE,OU=unit+CN=both'), 'CN=both+OU=unit,C=SE');
    const unsorted = element(0x31, attribute('2.5.4.11', 0x0c, 'unit'), attribute('2.5.4.3', 0x0c, 'both'));
    assert.equal(print(sequence(unsorted)), 'CN=both+OU=unit');
  });

  it('sorts 100,000 relative names in no time', () => {
    const rdn = setOf(attribute('2.5.4.3', 0x0c, 'a'));
    const other = setOf(attribute('1.2.3', 0x0c, 'b'));
    const start = performance.now();
    const name = element(0x30, Buffer.concat(Array.from({ length: 100_000 }, (_, i) => (i % 2 ? rdn : other))));
    assert.equal(print(name).length, 50_000 * 5 + 50_000 * 8 - 1);
    assert.ok(performance.now() - start < 1000);
  });
});

describe('the values of names', () => {
  it('prints every string type as text', () => {
    const values: readonly (readonly [number, string | Uint8Array, string])[] = [
      [0x0c, Buffer.from('Zoë 漢字 😀'), 'Zoë 漢字 😀'],
      [0x13, 'Printable', 'Printable'],
      [0x12, '1 2', '1 2'],
      [0x14, 'Gr\xfc\xdfe', 'Grüße'],
      [0x15, 'Video', 'Video'],
      [0x16, 'a@b', 'a@b'],
      [0x19, 'G', 'G'],
      [0x1a, 'V', 'V'],
      [0x1b, 'G', 'G'],
      [0x1e, Buffer.from('005a006f00eb', 'hex'), 'Zoë'],
    ];
    for (const [tag, value, expected] of values) {
      assert.equal(print(nameOf(attribute('2.5.4.3', tag, value))), `CN=${expected}`);
    }
  });

  it('prints a type it does not know as a dotted object identifier', () => {
    assert.equal(print(nameOf(attribute('1.2.3.4.5', 0x0c, 'x'))), '1.2.3.4.5=x');
  });

  it('prints values that are no strings as the hex of their DER', () => {
    assert.equal(print(nameOf(attribute('2.5.4.3', 0x02, '\x05'))), 'CN=#020105');
    assert.equal(print(nameOf(attribute('2.5.4.3', 0x1c, '\0\0\0U'))), 'CN=#1c0400000055');
    assert.equal(print(nameOf(attribute('2.5.4.45', 0x03, '\0\xab'))), 'UniqueIdentifier=\\#030200AB');
    assert.equal(print(nameOf(attribute('2.5.4.3', 0x85, 'x'))), 'CN=#850178');
  });

  it('escapes special characters, outer blanks, a leading # and NUL', () => {
    const values = ['a,b', 'a+b', 'a"b', 'a\\b', 'a<b>c', 'a;b', 'a=b', '#a', 'a#', ' a ', '  ', 'a\0b', ''];
    const printed = values.map((value) => print(nameOf(attribute('2.5.4.3', 0x0c, value))).slice(3));
    assert.deepEqual(printed, [
      'a\\,b',
      'a\\+b',
      'a\\"b',
      'a\\\\b',
      'a\\<b\\>c',
      'a\\;b',
      'a\\=b',
      '\\#a',
      'a#',
      '\\ a\\ ',
      '\\ \\ ',
      'a\\00b',
      '',
    ]);
  });

  it('prints an empty name as nothing', () => assert.equal(print(sequence()), ''));

  it('prints a common name that holds another attribute as one value', () => {
    const text = print(nameOf(attribute('2.5.4.3', 0x0c, 'mallory,CN=admin')));
    assert.equal(text, 'CN=mallory\\,CN\\=admin');
    assert.deepEqual(attributeValues(text, 'CN'), ['mallory,CN=admin']);
  });

  const odd: Readonly<Record<string, string>> = {
    '30023100': '',
    '300431023000': '',
    '30083106300406022a03': '1.2.3=',
    '3003020105': '#3003020105',
    '30053103300109': '#30053103300109',
    '3004310230ff': '#3004310230ff',
  };
  for (const [hex, expected] of Object.entries(odd)) {
    it(`carries the name ${hex}, which is not made of attributes, as '${expected}'`, () => {
      assert.equal(print(Buffer.from(hex, 'hex')), expected);
    });
  }
});

describe('names as text', () => {
  it('splits at separators that are not escaped or quoted', () => {
    assert.deepEqual(splitDistinguishedName('CN=a\\,b + OU="c,d+e", O = f\\ '), [
      [
        { type: 'CN', value: 'a\\,b' },
        { type: 'OU', value: '"c,d+e"' },
      ],
      [{ type: 'O', value: 'f\\ ' }],
    ]);
  });

  it('finds the first common name', () => {
    assert.equal(commonNameOf('CN=Issuing CA,O=x'), 'Issuing CA');
    assert.equal(commonNameOf('E=a@b,CN=Acme\\, Inc,CN=second'), 'Acme, Inc');
    assert.equal(commonNameOf('OU=u+CN=both,O=x'), 'both');
    assert.equal(commonNameOf('CN=a\\+b+OU=c'), 'a+b');
    assert.equal(commonNameOf('cn=lower'), 'lower');
  });

  it('finds no common name where there is none', () => {
    for (const text of ['', 'O=CN', 'O=a\\,CN=b', 'DCN=x', 'hello', ',,', 'CN', '\\']) {
      assert.equal(commonNameOf(text), undefined, text);
    }
  });

  it('takes back every escape', () => {
    for (const value of ['a,b', ' lead', 'trail ', '#x', 'a\\b', '"q"', 'é', 'a\0', '😀', '\\\\ ', 'x=y', '']) {
      const [[part] = []] = splitDistinguishedName(`CN=${escapeNameValue(value)}`);
      assert.equal(unescapeNameValue(part?.value ?? ''), value);
      assert.equal(commonNameOf(`CN=${escapeNameValue(value)},O=x`), value);
    }
  });

  it('reads octets after a backslash as UTF-8', () => assert.equal(unescapeNameValue('Zo\\C3\\AB\\2C x'), 'Zoë, x'));

  it('reads its own text back into the same name', () => {
    for (const text of ['CN=a\\,b,O=\\#c,C=SE', 'E=a@b,CN=#020105,DC=x', 'OU=b+CN=\\ a\\ ,C=Z\\=1', '']) {
      assert.equal(normalise(text), text);
    }
  });

  it('issues country and serial number as PrintableString, e-mail and DC as IA5String, others as UTF8String', () => {
    const hex = Buffer.from(parseDistinguishedName('C=SE,SN=1,E=a@b,DC=x,CN=y')).toString('hex');
    for (const value of ['13025345', '130131', '1603614062', '160178', '0c0179']) assert.ok(hex.includes(value), value);
  });

  it('issues a country that is not printable as UTF8String', () => {
    assert.ok(Buffer.from(parseDistinguishedName('C=ÄÖ')).includes(Buffer.from(utf8String('ÄÖ'))));
  });

  const wrong: Readonly<Record<string, string>> = {
    'a name without =': 'hello',
    'an empty attribute': 'CN=a,,O=b',
    'a comma at the end': 'CN=a,',
    'a type it does not know': 'uri=x,CN=a',
    'no type': '=x',
    'an impossible object identifier': '1.99.1=x',
    'hex that is cut off': 'CN=#0c0',
    'hex of no DER': 'CN=#0c05',
    'hex of two elements': 'CN=#05000500',
    'hex that is none': 'CN=#0g',
    'no hex': 'CN=#',
    'a name of a megabyte': `CN=${'a'.repeat(1_048_576)}`,
    'an attribute named like a property of objects': '__proto__=x',
  };
  for (const [what, text] of Object.entries(wrong)) {
    it(`refuses ${what}`, () => assert.throws(() => parseDistinguishedName(text), { code: 'ERR_INVALID_INPUT' }));
  }
});
