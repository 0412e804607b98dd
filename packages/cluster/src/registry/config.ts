import { z } from 'zod';

/** Configuration of the node registry, section `registry`. */
export const registryConfig = z.strictObject({
  adapter: z.enum(['zookeeper', 'embedded']).default('zookeeper').meta({
    description: 'Where nodes find each other: ZooKeeper, or in the process (`halley start` only).',
  }),
  servers: z
    .array(z.string().min(1))
    .min(1)
    .default(['127.0.0.1:2181'])
    .meta({ description: 'ZooKeeper servers, as host:port.' }),
  rootPath: z
    .string()
    .regex(/^(\/[A-Za-z0-9._-]+)+$/, 'must be an absolute path of ZooKeeper, as /halley')
    .default('/halley')
    .meta({ description: 'Path in ZooKeeper under which the nodes of every environment are.' }),
  sessionTimeoutMs: z.int().min(1_000).max(60_000).default(6_000).meta({
    description: 'How long the entry of a killed process stays.',
    unit: 'ms',
    range: '4,000–20,000; ZooKeeper bounds it to 2–20 of its ticks',
  }),
  connectTimeoutMs: z.int().min(100).default(10_000).meta({
    description: 'A start that has not reached ZooKeeper by then fails.',
    unit: 'ms',
    range: '2,000–60,000',
  }),
});

export type RegistryConfig = z.infer<typeof registryConfig>;
