import type { PackageDefinition } from '@grpc/proto-loader';
import protobuf, { type ReflectionObject, type Root } from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor/index.js';

const { Enum, Namespace, Service, Type } = protobuf;

/**
 * The definitions as reflection is to tell them: with what each file imports. The loader leaves that out, and tools as
 * grpcurl and ghz then refuse what refers to a type of another package. There is a file for each package.
 */
export function withImports(definition: PackageDefinition, root: Root): PackageDefinition {
  const imports = importsOf(root);
  const described = new Map<readonly Buffer[], Buffer[]>();
  const describe = (files: readonly Buffer[]): Buffer[] =>
    files.map((bytes) => {
      const file = descriptor.FileDescriptorProto.decode(bytes) as unknown as DescribedFile;
      file.dependency = [...(imports.get(file.package) ?? [])].map(fileOf).sort();
      return Buffer.from(descriptor.FileDescriptorProto.encode(file).finish());
    });
  return Object.fromEntries(
    Object.entries(definition).map(([name, entry]) => {
      const files = entry.fileDescriptorProtos;
      if (!Array.isArray(files)) return [name, entry];
      const known = described.get(files) ?? describe(files);
      described.set(files, known);
      return [name, { ...entry, fileDescriptorProtos: known }];
    }),
  );
}

interface DescribedFile {
  readonly package: string;
  dependency: string[];
}

/** As the loader names it. */
function fileOf(pkg: string): string {
  return `${pkg.replaceAll('.', '_')}.proto`;
}

/** By package, the other packages whose types it refers to. */
function importsOf(root: Root): Map<string, Set<string>> {
  root.resolveAll();
  const imports = new Map<string, Set<string>>();
  const refer = (from: ReflectionObject, to: ReflectionObject | null): void => {
    if (!to) return;
    const [pkg, other] = [packageOf(from), packageOf(to)];
    if (pkg === other) return;
    const others = imports.get(pkg) ?? new Set<string>();
    imports.set(pkg, others.add(other));
  };
  const visit = (object: ReflectionObject): void => {
    if (object instanceof Type) for (const field of object.fieldsArray) refer(object, field.resolvedType);
    if (object instanceof Service) {
      for (const method of object.methodsArray) {
        refer(object, method.resolvedRequestType);
        refer(object, method.resolvedResponseType);
      }
    }
    if (object instanceof Namespace) for (const nested of object.nestedArray) visit(nested);
  };
  visit(root);
  return imports;
}

/** The namespace that a message, enum or service stands in, however deep. */
function packageOf(object: ReflectionObject): string {
  let space: ReflectionObject | null = object;
  while (space instanceof Type || space instanceof Enum || space instanceof Service) space = space.parent;
  return space?.fullName.replace(/^\./, '') ?? '';
}
