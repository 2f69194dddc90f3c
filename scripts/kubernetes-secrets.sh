#!/usr/bin/env bash
# Writes the secrets of deploy/kubernetes for a namespace to standard output, with random passwords for the engines of
# components/engines and with keys that are made now. Run it once and keep what it wrote: the next run makes others.
#
#   scripts/kubernetes-secrets.sh triton-dev | kubectl apply -f -
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

namespace=${1-}
[[ $namespace =~ ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$ ]] || fail "name the namespace, such as triton-dev"
command -v openssl >/dev/null || fail "there is no command openssl"

random() { openssl rand -hex 24; }
indented() { sed 's/^/    /'; }

head_of() {
    cat <<YAML
---
apiVersion: v1
kind: Secret
metadata:
  name: $1
  namespace: $namespace
  labels:
    app.kubernetes.io/name: triton
type: Opaque
stringData:
YAML
}

valkey=$(random) postgres=$(random) clickhouse=$(random)
head_of triton-engines
cat <<YAML
  TRITON_REDIS_URL: redis://:$valkey@valkey:6379/0
  TRITON_DATABASE_URL: postgresql://triton:$postgres@postgres:5432/triton
  TRITON_CLICKHOUSE_URL: http://triton:$clickhouse@clickhouse:8123/triton
  TRITON_SUBJECT_KEYS: postgresql://triton:$postgres@postgres:5432/triton_keys
  AWS_ACCESS_KEY_ID: "$(random)"
  AWS_SECRET_ACCESS_KEY: "$(random)"
YAML
head_of triton-engine-passwords
cat <<YAML
  valkey: "$valkey"
  postgres: "$postgres"
  clickhouse: "$clickhouse"
YAML
head_of triton-admin
say "  password: \"$(random)\""
head_of triton-token-keys
say "  $(date +%s)-$(openssl rand -hex 4).EdDSA: |"
openssl genpkey -algorithm ed25519 | indented
head_of triton-tenant-keys
name=$(openssl rand -hex 8)
say "  tenant-keys.json: '{\"active\": \"$name\", \"keys\": {\"$name\": \"$(openssl rand -base64 32)\"}}'"
head_of triton-signing-key
say "  signing-key.pem: |"
openssl genpkey -algorithm ed25519 | indented
