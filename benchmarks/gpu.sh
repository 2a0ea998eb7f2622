#!/bin/sh
# Everything that benchmarks/gpu.py measures, in MINUTES (8), from a bare copy of the tree:
#   sh benchmarks/gpu.sh [WHEELS]
# WHEELS is a folder of wheels for packages that the machine lacks. Results go to $OUT, or else to
# data/results/benchmarks. UBC_COMMIT says which commit this is; DRY=--dry tries all of it on a CPU.
set -eu
DRY=${DRY:-}
cd "$(dirname "$0")/.."
OUT=${OUT:-data/results/benchmarks}
mkdir -p "$OUT"
if [ $# -gt 0 ]; then
    SITE=$(mktemp -d)
    python3 -m pip install --quiet --no-index --no-deps --target "$SITE" "$1"/*.whl || exit 1
    export PYTHONPATH=".:$SITE"
else
    export PYTHONPATH=.
fi
python3 - <<'PYTHON' || exit 1
# What is imported later, so that nothing is found missing after minutes.
import nilearn.datasets, pytest, pytorch_lightning, sys, torch
import benchmarks.gpu, benchmarks.reference, tests.training.test_loop
card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
print(sys.version.split()[0], torch.__version__, card)
PYTHON
export UBC_DATA=${UBC_DATA:-$(mktemp -d)}
exec python3 -m benchmarks.gpu --minutes "${MINUTES:-8}" --folder "$OUT" $DRY
