"""The harness of the ablation and of Table 2: variants of training, what they train on, trials and their comparison."""

import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
if str(EXAMPLES) not in sys.path:  # the compact UNISAL, and the backbones of checkouts, are parts of examples
    sys.path.append(str(EXAMPLES))
