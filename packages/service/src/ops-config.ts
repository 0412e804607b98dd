import { z } from 'zod';

/** The section `ops` of a tier whose ops server has this port by default. */
export function opsConfig(defaultPort: number) {
  return z.object({
    port: z
      .int()
      .min(0)
      .max(65_535)
      .default(defaultPort)
      .meta({ description: 'Port of /metrics, /healthz and /readyz; 0 is any free one.' }),
  });
}
