#!/bin/sh
# Everything that is measured on a GPU, in under nine minutes, from a bare copy of the tree:
#   sh benchmarks/gpu.sh [WHEELS]
# WHEELS is a folder of wheels for packages that the machine lacks. Results go to $OUT, or else to
# data/results/benchmarks; each part has its time limit, so a slow one does not cost the others.
set -u
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
if not torch.cuda.is_available():
    sys.exit("torch sees no GPU here.")
print(sys.version.split()[0], torch.__version__, torch.cuda.get_device_name())
PYTHON
export UBC_DATA=${UBC_DATA:-$(mktemp -d)}
echo "== tests that need a GPU"
timeout 100 python3 -m pytest -q -m gpu tests/test_training.py 2>&1 | tee "$OUT/gpu_tests.txt" | tail -15
echo "== engine against reference"
timeout 150 python3 -m benchmarks.engine --device cuda --repeats 3 --folder "$OUT"
echo "== the paper study"
timeout 150 python3 -m benchmarks.paper --processes 5 --folder "$OUT"
echo "== bf16 against fp32, graphs against single kernels"
timeout 120 python3 -m benchmarks.precision --device cuda --folder "$OUT"
