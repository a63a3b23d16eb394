from torch.utils import model_zoo  # noqa: F401 - taken from here
