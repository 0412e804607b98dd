// Ends what start-services.mjs started, and only that.
import { rm } from 'node:fs/promises';

export default async function stopServices() {
  const started = globalThis.halleyTestServices;
  globalThis.halleyTestServices = undefined;
  if (!started) return;
  await Promise.all(started.services.map((service) => service.stop()));
  await rm(started.dir, { recursive: true, force: true });
}
