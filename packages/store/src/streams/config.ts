import { z } from 'zod';

/** Configuration of the streams, section `streams`. They are kept where the routes are (section `routes`). */
export const streamsConfig = z.strictObject({
  inlineBytes: z.int().min(0).max(65_536).default(256).meta({
    description:
      'A push to several streams is stored in each when it is at most this large, and once for each shard when it is larger.',
    unit: 'bytes',
    range: '64–1,024',
  }),
  highWaterFraction: z.number().min(0.1).max(1).default(0.85).meta({
    description:
      "Above this share of Redis's maxmemory nothing more is taken in: job pauses, and pushes are refused. Without a maxmemory there is no such mark.",
    range: '0.7–0.9',
  }),
});

export type StreamsConfig = z.infer<typeof streamsConfig>;
