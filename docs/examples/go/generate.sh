#!/usr/bin/env bash
# Generates Go code from Halley's protos into ./gen, a module of its own. Needs Go and Python 3 (for protoc, from PyPI).
# TOOLS (default ./.tools) keeps what is installed for it.
set -euo pipefail
cd "$(dirname "$0")"
tools=$(mkdir -p "${TOOLS:-.tools}" && cd "${TOOLS:-.tools}" && pwd)
protos=${PROTOS:-../../../protos}

[ -x "$tools/python/bin/python" ] || python3 -m venv "$tools/python"
"$tools/python/bin/python" -c 'import grpc_tools' 2>/dev/null ||
  "$tools/python/bin/pip" install --quiet --disable-pip-version-check grpcio-tools==1.81.1
[ -x "$tools/bin/protoc-gen-go" ] || GOBIN="$tools/bin" go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11
[ -x "$tools/bin/protoc-gen-go-grpc" ] || GOBIN="$tools/bin" go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2

rm -rf gen && mkdir gen
PATH="$tools/bin:$PATH" "$tools/python/bin/python" -m grpc_tools.protoc --proto_path="$protos" \
  --go_out=gen --go_opt=module=halley.im/protos \
  --go-grpc_out=gen --go-grpc_opt=module=halley.im/protos \
  goim/protocol.proto $(cd "$protos" && ls halley/push/v1/*.proto)
printf 'module halley.im/protos\n\ngo 1.25\n' >gen/go.mod
