#!/usr/bin/env bash
# Makes a virtual environment with gRPC (VENV, default ./.venv) and generates Python code from Halley's protos into ./gen.
set -euo pipefail
cd "$(dirname "$0")"
venv=${VENV:-.venv}
protos=${PROTOS:-../../../protos}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import grpc_tools' 2>/dev/null ||
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
rm -rf gen && mkdir gen
"$venv/bin/python" -m grpc_tools.protoc --proto_path="$protos" \
  --python_out=gen --grpc_python_out=gen goim/protocol.proto $(cd "$protos" && ls halley/push/v1/*.proto)
