import assert from 'node:assert/strict';
import { parseAnswerDetails, parseFlatJson, parseRequestDetails } from '../../../lib/protocol/ra-details.ts';

const MALFORMED = { code: 'ERR_MALFORMED_MESSAGE' };

/** Objects within objects. */
function nested(depth: number): string {
  return `${'{"a":'.repeat(depth)}0${'}'.repeat(depth)}`;
}

describe('details of RA requests', () => {
  it('may be absent', () => {
    assert.deepEqual(parseRequestDetails(null), { administrator: undefined, http: undefined });
    assert.deepEqual(parseRequestDetails('{}'), { administrator: undefined, http: undefined });
  });

  it('lose members that nobody knows', () => {
    const http = { method: 'GET', url: '/', headers: {}, query: {}, params: {} };
    const administrator = { subjectDN: 'CN=a', certificate: '', rules: {} };
    const text = JSON.stringify({ http: { ...http, body: 1 }, administrator: { ...administrator, id: 2 }, more: 3 });
    assert.deepEqual(parseRequestDetails(text), { http, administrator });
  });

  it('take nothing from a prototype that they name', () => {
    const { administrator, http } = parseRequestDetails('{"__proto__":{"http":{"method":"GET","url":"/"}}}');
    assert.deepEqual([administrator, http], [undefined, undefined]);
    assert.equal(({} as { http?: unknown }).http, undefined);
  });

  const wrong: Readonly<Record<string, unknown>> = {
    'an array': [],
    'a text': 'x',
    'a null': null,
    'an administrator that is a text': { administrator: 'CN=admin' },
    'an administrator without rules': { administrator: { subjectDN: 'CN=admin' } },
    'a rule that is neither allowed nor denied': { administrator: { rules: { '/ca': 'accept' } } },
    'a rule that is true': { administrator: { rules: { '/ca': true } } },
    'a name that is a number': { administrator: { subjectDN: 1, rules: {} } },
    'http without a method': { http: { url: '/' } },
    'a method with a space': { http: { method: 'GET /', url: '/' } },
    'a url that is an object': { http: { method: 'GET', url: {} } },
    'a header that is an array': { http: { method: 'GET', url: '/', headers: { a: ['b'] } } },
    'a parameter that is a number': { http: { method: 'GET', url: '/', params: { a: 1 } } },
    'a query that is an array': { http: { method: 'GET', url: '/', query: [] } },
    'too many headers': {
      http: {
        method: 'GET',
        url: '/',
        headers: Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`h${i}`, ''])),
      },
    },
    'more than 256 KB': { http: { method: 'GET', url: `/${'x'.repeat(256 * 1024)}` } },
    'more than ten levels': { http: { method: 'GET', url: '/', query: JSON.parse(nested(9)) } },
  };
  for (const [what, details] of Object.entries(wrong)) {
    it(`refuse ${what}`, () => assert.throws(() => parseRequestDetails(JSON.stringify(details)), MALFORMED));
  }

  it('refuse what is no JSON', () => {
    for (const text of ['', '{', '{"a":}', '"', '\u0000', `"${'\\'.repeat(9)}`, '[[[[', ']]]]', 'NaN']) {
      assert.throws(() => parseRequestDetails(text), MALFORMED, text);
    }
  });
});

describe('details of RA answers', () => {
  const answer = (details: unknown) => parseAnswerDetails(JSON.stringify(details));
  const cookie = (value: unknown, options: unknown = {}) => answer({ cookies: { a: { value, options } } });

  it('may be absent', () => {
    assert.deepEqual(parseAnswerDetails(null), { headers: {}, cookies: {} });
  });

  it('keep headers with one value or many', () => {
    const headers = { 'x-one': 'ä', 'X-Many': ['a', 'b\tc'] };
    assert.deepEqual(answer({ headers }).headers, headers);
  });

  it('lose headers that belong to a connection, in any case', () => {
    const headers = { 'Content-Length': '5', 'transfer-encoding': 'chunked', Connection: 'close', 'x-kept': 'yes' };
    assert.deepEqual(answer({ headers }).headers, { 'x-kept': 'yes' });
  });

  it('keep what a cookie may say of itself, with its end as a date, and lose the rest', () => {
    const options = { path: '/', domain: 'ra.example.org', maxAge: 1_000, httpOnly: true, sameSite: 'strict' };
    const expires = new Date(1_800_000_000_000);
    const { cookies } = cookie('v', { ...options, expires, signed: true, encode: 'x', value: 'v' });
    assert.deepEqual(cookies, { a: { value: 'v', options: { ...options, expires } } });
    assert.deepEqual(cookie(null).cookies, { a: { value: null, options: {} } });
  });

  const wrong: Readonly<Record<string, unknown>> = {
    'a header name with a colon': { headers: { 'a:b': '' } },
    'an empty header name': { headers: { '': '' } },
    'a header with a line break': { headers: { a: 'b\r\nSet-Cookie: c' } },
    'a header with a character that HTTP cannot carry': { headers: { a: '€' } },
    'a header that is a number': { headers: { a: 1 } },
    'a header with a null in its list': { headers: { a: [null] } },
    'headers that are a list': { headers: ['a'] },
    'cookies that are a text': { cookies: 'a=b' },
    'a cookie that is a text': { cookies: { a: 'b' } },
    'a cookie without options': { cookies: { a: { value: '' } } },
    'a cookie that is a number': { cookies: { a: { value: 1, options: {} } } },
    'a cookie name with a space': { cookies: { 'a b': { value: '', options: {} } } },
  };
  for (const [what, details] of Object.entries(wrong)) {
    it(`refuse ${what}`, () => assert.throws(() => answer(details), MALFORMED));
  }

  const wrongOptions: readonly (readonly [string, unknown])[] = [
    ['expires', 'tomorrow'],
    ['maxAge', '1'],
    ['maxAge', 1e300],
    ['path', '/; Secure'],
    ['domain', 'a b'],
    ['domain', 'a..b'],
    ['httpOnly', 1],
    ['secure', 'no'],
    ['sameSite', 'maybe'],
    ['priority', 3],
    ['partitioned', 'yes'],
  ];
  for (const [name, value] of wrongOptions) {
    it(`refuse a cookie with ${name} ${JSON.stringify(value)}`, () => {
      assert.throws(() => cookie('', { [name]: value }), MALFORMED);
    });
  }

  it('refuse a cookie that cannot be written as UTF-8', () => {
    assert.throws(() => parseAnswerDetails('{"cookies":{"a":{"value":"\\ud800","options":{}}}}'), MALFORMED);
  });
});

describe('JSON in RA messages', () => {
  it('may be a hundred levels deep, and brackets in texts do not count', () => {
    assert.deepEqual(parseFlatJson(nested(100)), JSON.parse(nested(100)));
    assert.throws(() => parseFlatJson(nested(101)), MALFORMED);
    const text = JSON.stringify('[{"\\"'.repeat(1_000));
    assert.equal(parseFlatJson(text), JSON.parse(text));
  });

  it('is refused in no time however deep it is', () => {
    const start = performance.now();
    assert.throws(() => parseFlatJson('['.repeat(1_000_000)), MALFORMED);
    assert.throws(() => parseFlatJson('{"a":'.repeat(500_000)), MALFORMED);
    assert.ok(performance.now() - start < 100);
  });
});
