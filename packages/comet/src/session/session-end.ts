import type { SessionEnd } from '../logic-link.js';

/** The client left, or the network did. */
export const LEFT: SessionEnd = { code: 0, reason: '' };
