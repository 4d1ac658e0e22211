#!/bin/sh
# All that needs a card, in one command and without a network: the tests marked `gpu`, then `gpu_table.py`, whose
# arguments it takes. Results are in $OUT. PYTHON names a Python that has what the package needs.
cd "$(dirname "$0")/.." || exit 1
PYTHON=${PYTHON:-python} OUT=${OUT:-gpu_results}
export PYTHONPATH="$PWD" OPTSUITE_DATA=synthetic CUBLAS_WORKSPACE_CONFIG=:4096:8
mkdir -p "$OUT"
rm -f "$OUT"/gpu_t*
timeout 200 "$PYTHON" -m pytest -v -m gpu -rA -p no:cacheprovider tests/data tests/modules tests/trainer \
    >"$OUT/gpu_tests.txt" 2>&1
tests=$?
tail -n 30 "$OUT/gpu_tests.txt"
"$PYTHON" benchmarks/gpu_table.py --minutes 6 "$@" --out "$OUT"
table=$?
cat "$OUT/gpu_table.md"
exit $((tests ? tests : table))
