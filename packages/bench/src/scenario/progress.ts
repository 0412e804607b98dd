import type { BenchSample } from './result.js';

/** What is told while it runs. */
export type BenchProgress =
  | { readonly kind: 'phase'; readonly text: string }
  | { readonly kind: 'sample'; readonly sample: BenchSample };

export type OnProgress = (progress: BenchProgress) => void;
