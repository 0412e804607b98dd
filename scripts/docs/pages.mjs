import { configDoc } from '@halley/cli/docs/config-doc';
import { cometConfig } from '@halley/comet/config';
import { jobConfig } from '@halley/job/config';
import { logicConfig } from '@halley/logic/config';

import { errorsPage } from './errors-page.mjs';
import { grpcPage } from './grpc-page.mjs';
import { httpPage, openApiPage } from './http-page.mjs';
import { metricsPage } from './metrics-page.mjs';

/**
 * The pages that are generated from the built product: path from the repository's root → text.
 * A page is added here; `npm run docs` writes it, and a unit test finds a stale one.
 */
export function pages() {
  return new Map([
    ['docs/errors.md', errorsPage()],
    ['docs/metrics.md', metricsPage()],
    ['docs/config.md', configDoc({ comet: cometConfig, logic: logicConfig, job: jobConfig })],
    ['docs/reference/openapi.json', openApiPage()],
    ['docs/reference/http.md', httpPage()],
    ['docs/reference/grpc.md', grpcPage()],
  ]);
}
