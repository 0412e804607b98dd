import { HalleyError } from '@halley/protocol/error';

/** The error of a tier that runs by itself with an embedded adapter: `key` as `bus.adapter`, `other` what it needs. */
export function embeddedOnly(tier: string, key: string, other: string): HalleyError {
  return new HalleyError(
    'bad_config',
    `${key}: embedded is for halley start, where all tiers share one process; a ${tier} of its own needs ${other}`,
  );
}
