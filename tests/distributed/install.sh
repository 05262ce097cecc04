#!/usr/bin/env bash
# Install PostgreSQL and Redis from the distribution's packages, unless they are there. Without root or apt-get the test skips.
set -euo pipefail

if { compgen -G '/usr/lib/postgresql/*/bin/postgres' || command -v postgres; } > /dev/null && command -v redis-server > /dev/null; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
  echo "PostgreSQL and Redis are not installed, and installing them takes root and apt-get." >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends postgresql redis-server > /dev/null
