// Generates the TypeScript types of protos/ into packages/cluster/src/grpc/gen (ignored by git), when a proto is newer.
import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync, statSync, writeFileSync, existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const protos = path.join(root, 'protos');
const out = path.join(root, 'packages/cluster/src/grpc/gen');
const stamp = path.join(out, '.stamp');

const files = readdirSync(protos, { recursive: true })
  .map(String)
  .filter((file) => file.endsWith('.proto'))
  .sort();
const newest = Math.max(...files.map((file) => statSync(path.join(protos, file)).mtimeMs));

if (!existsSync(stamp) || statSync(stamp).mtimeMs < newest) {
  rmSync(out, { recursive: true, force: true });
  const require = createRequire(import.meta.url);
  const generator = path.join(
    path.dirname(require.resolve('@grpc/proto-loader/package.json')),
    'build/bin/proto-loader-gen-types.js',
  );
  execFileSync(
    process.execPath,
    [
      generator,
      // The same options as in packages/cluster/src/grpc/protos.ts.
      '--keepCase',
      '--longs=String',
      '--enums=String',
      '--defaults',
      '--oneofs',
      '--grpcLib=@grpc/grpc-js',
      '--importFileExtension=.js',
      `--includeDirs=${protos}`,
      `--outDir=${out}`,
      ...files,
    ],
    { cwd: protos, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  writeFileSync(stamp, '');
}
