import assert from 'node:assert/strict';
import { renderPeerUrl } from '../../../lib/pool/peer-url.ts';

const values: Record<string, string> = { VA_HOST: 'va.example.org', PORT: '8443', ODD: 'a"b' };
const render = (template: string): string => renderPeerUrl(template, (name) => values[name]).href;

describe('peer URL', () => {
  it('is taken as it is', () => {
    assert.equal(render('https://va.example.org:8443/ejbca/peer/v1'), 'https://va.example.org:8443/ejbca/peer/v1');
  });

  it('gets the path of the protocol when it has none', () => {
    for (const url of ['https://va:8443', 'https://va:8443/', 'https://va:8443/ejbca/peer/v1/']) {
      assert.equal(render(url), 'https://va:8443/ejbca/peer/v1');
    }
  });

  it('may be a template', () => {
    assert.equal(render('https://{{VA_HOST}}:{{{PORT}}}/ejbca/peer/v1'), 'https://va.example.org:8443/ejbca/peer/v1');
  });

  it('is refused when it is not one that peers speak at', () => {
    const wrong = [
      '',
      'va.example.org',
      'http://va.example.org/ejbca/peer/v1',
      'ftp://va',
      'https://user:secret@va/ejbca/peer/v1',
      'https://va/ejbca/peer/v1?x=1',
      'https://va/ejbca/peer/v1#x',
      'https://va/other',
      'https://{{UNKNOWN}}/',
      'https://{{#VA_HOST}}x{{/VA_HOST}}/',
      'https://{{VA_HOST',
    ];
    for (const url of wrong) assert.throws(() => render(url), { code: 'ERR_INVALID_CONFIG' }, url);
  });

  it('does not repeat a password in its refusal', () => {
    assert.throws(
      () => render('https://user:secret@va/'),
      (error: Error) => !error.message.includes('secret'),
    );
  });
});
