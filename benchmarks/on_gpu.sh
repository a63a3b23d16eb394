#!/usr/bin/env bash
# Everything that is to be measured on a GPU, in four parts of at most ten minutes each, and the training of the bundled
# models in as many calls as it takes.
#
#     bash benchmarks/on_gpu.sh PART OUT [MODEL]      # PART is 1, 2, 3 or 4; all results go to the folder OUT
#     bash benchmarks/on_gpu.sh 5 OUT                 # trains the bundled editor and readouts; each call goes on
#     SMALL=1 bash benchmarks/on_gpu.sh PART OUT      # a rehearsal on the CPU with the bundled editor
#     bash benchmarks/on_gpu.sh missing               # the packages that this machine lacks
#     bash benchmarks/on_gpu.sh table OUT             # all figures so far
#
# MODEL is a folder of a pipeline, /tmp/sd15-random by default. Where it is missing, SD v1.5's exact configuration is
# saved there with random weights (4 GB; about a minute). A step writes OUT/STEP.json and OUT/STEP.log. A finished step
# is not run again, so the same command continues a part that was cut off. A step that fails or takes too long is noted
# in OUT/STEP.failed, and the next one runs; the next call tries it again. SECONDS_A_PART (570) ends a part in time.
#
# `missing` prints the requirements in setup.cfg that are not met, tests included, without a network; what those need
# themselves comes on top. On a machine with a network, for
# Python 3.12:
#     pip download --no-deps --only-binary=:all: --python-version 3.12 -d wheels -r FILE
# and on the one without: pip install --no-index --find-links wheels --no-deps wheels/*.whl
#
# Further variables: OSIE, a folder with OSIE, for Table 2 on photographs (part 4) and as photographs to train on (part
# 5); ENCODER, a file of an encoder pretrained on ImageNet, which Table 2 needs where there is no network
# (benchmarks/table2/encoders.py names the kinds); AUGSAL_UPSTREAM_UNISAL, _SIMPLENET, _TEMPSAL and _DEEPGAZE, checkouts,
# for the adapters' own tests (part 4), which need the checkouts' packages too: `missing` lists those.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
python=${PYTHON:-python3}
part=${1:?"give a part: 1, 2, 3, 4, 5, missing or table"}

if [ "$part" = missing ]; then
    exec "$python" -c '
import configparser
from importlib.metadata import PackageNotFoundError, version
from packaging.requirements import Requirement

config = configparser.ConfigParser(interpolation=None)
config.read("setup.cfg")
extras = config["options.extras_require"]
lines = [config["options"]["install_requires"], *(extras[name] for name in ("test", "salicon", "viz", "hdf5"))]
for line in "\n".join(lines).splitlines():
    if line.strip() and "%" not in line:
        needed = Requirement(line)
        try:
            found = needed.specifier.contains(version(needed.name), prereleases=True)
        except PackageNotFoundError:
            found = False
        if not found:
            print(needed)
for name in ("opencv-python-headless", "einops", "boltons", "tensorboardX", "pycocotools"):
    try:
        version(name)
    except PackageNotFoundError:
        print(f"{name}  # a checkout needs it")'
fi

out=${2:?"give a folder for the results"}
mkdir -p "$out"
out=$(cd "$out" && pwd)

if [ "$part" = table ]; then
    exec "$python" -c '
import json, pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json")):
    found = json.loads(path.read_text())
    print(f"\n{path.stem}\n")
    for row in found.get("figures", found) if isinstance(found, dict) else found:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.failed")):
    print(f"\n{path.stem} failed: {path.read_text().strip()}")' "$out"
fi

end=$((SECONDS + ${SECONDS_A_PART:-570}))
small=${SMALL:-}
model=${3:-/tmp/sd15-random}
if [ "$small" ]; then device=cpu own=(--small) editor=bundled; else device=cuda own=(--editor "$model") editor=$model; fi
failures=0

# step NAME LIMIT COMMAND…: LIMIT in seconds; the command writes OUT/NAME.json, or else OUT/NAME.json is made here.
step() {
    local name=$1 limit=$2 left=$((end - SECONDS)) began=$SECONDS status
    shift 2
    if [ -e "$out/$name.json" ]; then echo "$name: done before"; return; fi
    if [ "$left" -lt 20 ]; then echo "$name: no time left in this call; run the part again"; failures=1; return; fi
    timeout --kill-after=5 "$((limit < left ? limit : left))" "$@" >"$out/$name.log" 2>&1
    status=$?
    if [ "$status" = 0 ]; then
        rm -f "$out/$name.failed"
        [ -e "$out/$name.json" ] || printf '[{"step": "%s", "seconds": %d}]\n' "$name" "$((SECONDS - began))" >"$out/$name.json"
        echo "$name: done in $((SECONDS - began)) s"
    elif [ "$name" != "${name#5}" ] && { [ "$status" = 124 ] || [ "$status" = 137 ]; }; then
        echo "$name: not finished after $((SECONDS - began)) s; the next call goes on"
        failures=1
    else
        rm -f "$out/$name.json"
        { echo "status $status after $((SECONDS - began)) s (124 is the time limit)"; tail -n 5 "$out/$name.log"; } >"$out/$name.failed"
        echo "$name: FAILED"; cat "$out/$name.failed"
        failures=1
    fi
}

# measure NAME LIMIT STEP…: a step of gpu_steps.py
measure() {
    local name=$1 limit=$2
    shift 2
    step "$name" "$limit" "$python" benchmarks/gpu_steps.py "$@" "${own[@]}" --device "$device" --json "$out/$name.json"
}

if [ ! "$small" ] && [ ! -e "$model/model_index.json" ]; then
    rm -rf "$model"
    "$python" -c 'import sys, torch; from pathlib import Path; sys.path.insert(0, "benchmarks")
from sd15_on_cpu import build; torch.manual_seed(0); build(Path(sys.argv[1]))' "$model" || exit 1
fi

case $part in
1)
    step 1a-ceilings 60 "$python" benchmarks/ceilings.py --device "$device" --json "$out/1a-ceilings.json"
    if [ "$small" ]; then tests=(tests/diffusion/test_batching.py -n 0 -p no:cacheprovider); else tests=(-m gpu -n 0 -p no:cacheprovider); fi
    step 1b-tests 240 "$python" -m pytest -q "${tests[@]}"
    measure 1c-precision 240 precision
    ;;
2)
    if [ "$small" ]; then pipeline=(--small --smoke); given=(); else pipeline=(--folder "$model"); given=(--folder "$model"); fi
    step 2a-throughput 340 "$python" benchmarks/edit_throughput.py "${pipeline[@]}" --device "$device" --rounds 2 \
        --json "$out/2a-throughput.json"
    step 2b-steps 200 "$python" benchmarks/speed_steps.py "${given[@]}" --device "$device" --rounds 3 \
        --json "$out/2b-steps.json"
    ;;
3)
    if [ "$small" ]; then grown=(--sides 64 128 --batches 1 2 --rounds 1); else
        grown=(--sides 256 384 512 768 1024 --batches 1 2 4 8 16 32 64 --rounds 3); fi
    measure 3a-memory 150 memory
    step 3b-scaling 150 "$python" benchmarks/scaling.py --editor "$editor" --device "$device" "${grown[@]}" \
        --json "$out/3b-scaling.json"
    measure 3c-compiled 400 compiled --rounds "${small:-3}"
    ;;
4)
    count=1000; [ "$small" ] && count=4
    measure 4a-training 120 training
    measure 4b-adapters 90 adapters
    measure 4c-generate 240 generate --images "$count"
    if [ "${AUGSAL_UPSTREAM_UNISAL:-}${AUGSAL_UPSTREAM_SIMPLENET:-}${AUGSAL_UPSTREAM_TEMPSAL:-}${AUGSAL_UPSTREAM_DEEPGAZE:-}" ]; then
        step 4d-upstreams 300 "$python" -m pytest -q -n 0 -p no:cacheprovider tests/adapters/test_adapters.py
    fi
    if [ "${OSIE:-}" ]; then
        given=(); [ "$small" ] && given+=(--smoke --parts 4 2 2 0)
        [ "${ENCODER:-}" ] && given+=(--encoder "$ENCODER")
        step 4e-table2 400 "$python" benchmarks/photographs.py --data "$OSIE" --runs "$out/table2" "${given[@]}"
    fi
    ;;
5)
    given=(--quiet)
    [ "$small" ] && given+=(--smoke)
    [ "${OSIE:-}" ] && given+=(--photographs "$OSIE")
    step 5a-editor 570 "$python" examples/train_bundled_editor.py --device "$device" \
        --out "$out/editor" --runs "$out/editor-run" "${given[@]}"
    # The readouts are trained on the cores of the machine.
    if [ "$small" ]; then launch=("$python"); else launch=("$python" -m torch.distributed.run --nproc-per-node 8); fi
    if [ -e "$out/5a-editor.json" ]; then
        step 5b-readouts 570 env OMP_NUM_THREADS=1 "${launch[@]}" examples/train_bundled_readouts.py \
            --editor "$out/editor" --out "$out/readouts" --runs "$out/readouts-run" "${given[@]}"
    fi
    ;;
*) echo "PART must be 1, 2, 3, 4, 5, missing or table, got $part"; exit 2 ;;
esac
exit "$failures"
