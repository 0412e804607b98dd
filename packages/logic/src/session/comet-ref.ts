import type { CometRef__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/CometRef';
import type { NodeId, NodeRef } from '@halley/protocol/ids';

import { invalid } from '../push/target.js';

/** The comet that calls. Throws `invalid_argument` when a part is missing. */
export function readComet(comet: CometRef__Output | null): NodeRef {
  if (!comet) throw invalid('comet', 'is missing');
  if (comet.node === '') throw invalid('comet.node', 'is empty');
  if (comet.incarnation === '') throw invalid('comet.incarnation', 'is empty');
  return { node: comet.node as NodeId, incarnation: comet.incarnation };
}
