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
import importlib.util, sys
needed = ("torch torchvision segmentation_models_pytorch pytorch_lightning numpy scipy pandas yaml "
          "pydantic filelock tqdm safetensors nibabel nilearn joblib sklearn threadpoolctl pytest")
missing = [name for name in needed.split() if importlib.util.find_spec(name) is None]
if missing:
    sys.exit(f"Missing here: {', '.join(missing)}. Put their wheels into a folder and name it.")
import torch
card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
print(sys.version.split()[0], torch.__version__, card)
PYTHON
export UBC_DATA=${UBC_DATA:-$(mktemp -d)}
exec python3 -m benchmarks.gpu --minutes "${MINUTES:-8}" --folder "$OUT" $DRY
