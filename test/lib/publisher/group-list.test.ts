import assert from 'node:assert/strict';
import { readGroups } from '../../../lib/publisher/group-list.ts';

describe('list of groups', () => {
  const chosen = [
    { id: 'a1', name: 'VA 1' },
    { id: 'a2', name: 'VA 2' },
    { id: 'b1', name: '' },
  ];

  it('makes every peer a group of its own when it is empty', () => {
    for (const text of ['', ' \n ']) assert.deepEqual(readGroups(text, chosen), [['a1'], ['a2'], ['b1']]);
  });

  it('reads names and ids, one per line, with empty lines between groups', () => {
    for (const text of ['VA 1\nVA 2\n\nb1', '\n VA 1 \r\nVA 2\r\n \r\n\n\nb1\n\n'])
      assert.deepEqual(readGroups(text, chosen), [['a1', 'a2'], ['b1']]);
  });

  const refused: [string, string, RegExp][] = [
    ['somebody who is not chosen', 'VA 1\nVA 2\nb1\nVA 9', /"VA 9"/],
    ['nobody who is chosen left out', 'VA 1\n\nb1', /"VA 2" is in no group/],
    ['somebody twice', 'VA 1\nVA 2\n\nVA 1\nb1', /"VA 1" twice/],
  ];
  for (const [what, text, message] of refused) {
    it(`refuses ${what}`, () => {
      assert.throws(() => readGroups(text, chosen), { code: 'ERR_INVALID_CONFIG', message });
    });
  }

  it('refuses a name that two have', () => {
    const twins = [
      { id: '1', name: 'VA' },
      { id: '2', name: 'VA' },
    ];
    assert.throws(() => readGroups('VA', twins), { code: 'ERR_INVALID_CONFIG', message: /Two/ });
  });
});
