#!/usr/bin/env bash
# Fill a store of edits on a Slurm cluster: sbatch --array=0-7 examples/generate_slurm.sh DATA STORE [options of augsal generate]
#
# Each task of the array walks the whole list from its own offset and skips finished images. A task that is preempted or
# runs out of time loses only its last batch: submit the script again, with any number of tasks.
#SBATCH --job-name=augsal
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=augsal-%A-%a.log
set -euo pipefail
data=$1 store=$2
shift 2
export HF_HUB_OFFLINE=1 # compute nodes often have no network: load the model once on a node that has
srun augsal generate --data "$data" --store "$store" "$@"
