"""An editor on a GPU that is not there, and a count of how often the host waits for it.

Tensors have shapes, types and devices, but no values. What torch refuses on a GPU, such as two tensors on different
devices, is refused here; what would ask the GPU for a value is counted, and answered with 1.
"""

import copy
import sys
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

ASKING = ("aten::_local_scalar_dense", "aten::_linalg_check_errors", "aten::equal", "aten::nonzero")
TENSORS = ("decoder", "intercept", "pseudo_inverse", "std")  # of a calibration


class PretendedGpu:
    """A GPU without values. Inside the block, edits go to it.

    Attributes:
        seen: Counts of ``"wait"`` (the host asks for a value), ``"upload"`` (a copy to the GPU that waits until it is
            done), ``"late upload"`` (one that does not wait) and ``"download"``.
    """

    def __init__(self):
        self.seen = Counter()
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)

    def __enter__(self):
        self._modes = [self.mode, _Counting(self.seen), _Answering()]
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error):
        for mode in reversed(self._modes):
            mode.__exit__(*error)

    def tensor(self, values, dtype=None):
        """A tensor on the GPU."""
        with self.mode:
            return self.mode.from_tensor(values).to("cuda", dtype or values.dtype)

    def network(self, network, dtype):
        """A copy of a network on the GPU."""
        moved = copy.deepcopy(network)
        for module in moved.modules():
            for name, weight in module._parameters.items():
                if weight is not None:
                    module._parameters[name] = nn.Parameter(self.tensor(weight.data, dtype), requires_grad=False)
            for name, values in module._buffers.items():
                if values is not None:
                    module._buffers[name] = self.tensor(values)
        return moved

    def editor(self, editor, dtype=torch.float32):
        """A copy of an editor without a gate on the GPU."""
        names = {"unet": dtype, "text_encoder": dtype, "vae": torch.float16 if dtype == torch.bfloat16 else dtype}
        parts = {name: self.network(getattr(editor.model, name), precision) for name, precision in names.items()}
        measured = {name: self.tensor(getattr(editor.calibration, name)) for name in TENSORS}
        calibration = unchecked(editor.calibration, **measured)
        return unchecked(editor, model=replace(editor.model, **parts), calibration=calibration)


def unchecked(frozen, **changes):
    """``replace`` without the checks of values, which tensors without values do not pass."""
    made = object.__new__(type(frozen))
    for field in fields(frozen):
        object.__setattr__(made, field.name, changes.get(field.name, getattr(frozen, field.name)))
    return made


class _Counting(TorchDispatchMode):
    def __init__(self, seen):
        super().__init__()
        self.seen, self.list = seen, None

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name
        if name in ASKING and args[0].device.type == "cuda":
            self.seen["wait"] += self._is_new()
        if name == "aten::_local_scalar_dense":
            return True if args[0].dtype == torch.bool else 1
        result = function(*args, **(kwargs or {}))
        if name in ("aten::_to_copy", "aten::copy_"):
            source, options = (args[0], kwargs) if name == "aten::_to_copy" else (args[1], kwargs)
            late = (options or {}).get("non_blocking", len(args) > 2 and args[2])
            if source.device.type == "cpu" and result.device.type == "cuda":
                self.seen["late upload" if late else "upload"] += 1
            elif source.device.type == "cuda" and result.device.type == "cpu":
                self.seen["download"] += 1
        return result

    def _is_new(self):
        """A list of numbers is one question, which a tensor without values asks number by number."""
        frame, asking = sys._getframe(), None
        while frame is not None:
            if frame.f_code is FakeTensor.tolist.__code__:
                asking = frame
            frame = frame.f_back
        first = asking is None or asking is not self.list
        self.list = asking
        return first


class _Answering(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is Tensor.numpy and isinstance(args[0], FakeTensor):
            return np.zeros(tuple(args[0].shape), np.uint8)
        return function(*args, **(kwargs or {}))
