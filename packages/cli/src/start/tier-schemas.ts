import { cometConfig } from '@halley/comet/config';
import { jobConfig } from '@halley/job/config';
import { logicConfig } from '@halley/logic/config';

/** The schemas of the tiers, which `halley start` reads as one. */
export const tierSchemas = { comet: cometConfig, logic: logicConfig, job: jobConfig };
