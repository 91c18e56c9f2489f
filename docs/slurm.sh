#!/bin/bash
#SBATCH --job-name=rallrec
#SBATCH --array=0-5
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=08:00:00
#SBATCH --output=rallrec-%A_%a.log
#
# One job a data set and seed: task n of the array takes seed n mod S of data set n div S, of S seeds. docs/cluster.md
# says how to start it, and how what the jobs made becomes one.
#
#   DATASETS, SEEDS     with blanks between; the array needs as many tasks as there are pairs
#   LLM, READER, PROFILE  as of make
#   COMMAND             of rallrec: all (the default), plan
#   PYTHON              the Python that has requirements.lock installed
#   JOBS                folder that all nodes see, where each job leaves what it made: data/jobs
#   SCRATCH             folder on the node's own disk
set -euo pipefail

read -ra datasets <<< "${DATASETS:-ml-100k ml-1m}"
read -ra seeds <<< "${SEEDS:-0 1 2}"
task=${SLURM_ARRAY_TASK_ID:?start it with sbatch, or set it to the number of a task}
n=$((${#datasets[@]} * ${#seeds[@]}))
if ((task >= n)); then
    echo "there is no task $task: ${#datasets[@]} data sets and ${#seeds[@]} seeds make --array=0-$((n - 1))" >&2
    exit 2
fi
dataset=${datasets[task / ${#seeds[@]}]} seed=${seeds[task % ${#seeds[@]}]}

cd "${SLURM_SUBMIT_DIR:-.}"
job=${JOBS:-$PWD/data/jobs}/${dataset//\//-}-seed$seed
work=$(mktemp -d "${SCRATCH:-${TMPDIR:-/tmp}}/rallrec-XXXXXX")

# The cache is an SQLite file, whose locks hold on one machine and not on a network's disk. So each job has a data
# folder on its node, and copies it to where all see it, also when it is stopped: the same job goes on from there.
# What is noted of files in the data folder (made/) is noted there as if they lay in the checkout's, where they will.
renamed() {
    if [ -d "$work/made" ]; then find "$work/made" -name '*.json' -exec sed -i "s|\"$1/|\"$2/|g" {} +; fi
}
mkdir -p "$job"
cp -R "$job/." "$work/"
renamed "$PWD/data" "$work"
keep() {
    rm -rf "$work/locks" "$work/raw" "$work/models"
    renamed "$work" "$PWD/data"
    cp -R "$work/." "$job/" && rm -rf "$work"
}
trap keep EXIT
trap 'kill "$run"; wait "$run"; exit 143' TERM INT

# What is only read is read where it lies: raw files, and LLMs that `rallrec fetch` has put there.
if [ -z "${RALLREC_RAW:-}" ]; then mkdir -p data/raw; fi
export RALLREC_RAW=${RALLREC_RAW:-$PWD/data/raw} RALLREC_DATA=$work
if [ -d data/models ]; then ln -s "$PWD/data/models" "$work/models"; fi
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-${OMP_NUM_THREADS:-1}}

"${PYTHON:-.venv/bin/python}" -W ignore::FutureWarning -m rallrec "${COMMAND:-all}" --llm "${LLM:-smollm2-135m}" \
    --reader "${READER:-}" --profile "${PROFILE:-quick}" --seed "$seed" -- "$dataset" &
run=$!
wait $run  # a signal reaches a shell that waits, and not one whose command runs
