#!/usr/bin/env bash
# Checks the alert rules and runs their cases with promtool, which comes with Debian's package `prometheus`.
# Usage: alerts.sh    (CIVILHUB_PROMTOOL names another promtool)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
promtool=${CIVILHUB_PROMTOOL:-$(command -v promtool || true)}
if [ -z "$promtool" ]; then
  "$here/install.sh" prometheus
  promtool=$(command -v promtool)
fi
cd "$here/../config/alerts"
"$promtool" check rules civilhub.rules.yaml
"$promtool" test rules civilhub.tests.yaml
