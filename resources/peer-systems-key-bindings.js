/**
 * What the sidebar says of an OCSP key binding, of this side or of a peer.
 */
import { dayOf, expiryLevel } from './peer-systems-elements.js';

/** OCSP signers live for weeks and are renewed days before their end. */
const SOON_DAYS = 3;
const COLOURS = { online: 'green', pending: 'yellow', offline: 'grey', unavailable: 'red' };

/** The colour of its dot. */
export function keyBindingColour({ operational }) {
  return COLOURS[operational] ?? 'ring';
}

/** State, key and certificate in one line. */
export function keyBindingText({ operational, status, keyAlgorithm, serialNumber, expires }, text) {
  // That it is enabled is what everybody expects.
  const state = ['', 'enabled'].includes(status) ? '' : ` (${text(`keyBinding.status.${status}`)})`;
  const until = expires === '' ? '' : text('until', { day: dayOf(expires) });
  return [text(`keyBinding.${operational}`) + state, keyAlgorithm, serialNumber, until].filter(Boolean).join(' · ');
}

/** How urgent it is to look at it: '' = not, 'warning', 'error'. */
export function keyBindingLevel({ operational, expires }) {
  return operational === 'unavailable' ? 'error' : expiryLevel(expires, SOON_DAYS);
}
